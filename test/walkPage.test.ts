/** Walks as they are told: the gallery of choices, the story of each, and the page that steps through them. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { resolveConfig } from '../src/config/resolve.ts';
import { walkPage } from '../src/report/walkPage.ts';
import { walkStory } from '../src/report/walkStory.ts';
import type { WalkSteps } from '../src/results/types.ts';
import { type GalleryWalk, type WalkGallery, walkGallery } from '../src/run/walkGallery.ts';
import { walkOnce } from '../src/run/walkOnce.ts';
import { PAGE_SIZES, type PageSize } from '../src/schema.ts';
import { inBrowser, launch, watchedPage } from './support/chromium.ts';

const ADDRESS = 0x7f5a_1234_5678;
/** 1 GiB around the address; scattered, so that GPAs and HPAs differ. */
const BARE = {
  workload: 'uniform',
  accesses: 1,
  seed: 1,
  machine: {},
  paging: { mode: 'nested', placement: 'scattered' },
  regions: [{ bytes: 2 ** 30, base: 0x7f5a_0000_0000 }],
};

const levelOf = (size: PageSize): number => PAGE_SIZES.indexOf(size) + 1;

/**
 * References of a walk that nothing shortens: n - g + 1 in one dimension, (n - g + 1)(m - h + 2) + (m - h + 1) in two, for
 * n and m levels and leaves at levels g and h (Bhargava et al., ASPLOS 2008, for n = m = 4 and g = h = 1: 24).
 */
function fullWalk({ mode, guestPage, nestedPage = '4KiB' }: GalleryWalk): number {
  const [guest, nested] = [5 - levelOf(guestPage), 5 - levelOf(nestedPage)];
  if (mode === 'shadow') return Math.max(guest, nested);
  return mode === 'native' ? guest : guest * (nested + 1) + nested;
}

let gallery: WalkGallery;
beforeAll(async () => {
  gallery = await walkGallery(BARE, ADDRESS);
}, 120_000);

const find = (wanted: Partial<GalleryWalk>): GalleryWalk =>
  gallery.walks.find((walk) =>
    Object.entries(wanted).every(([name, value]) => walk[name as keyof GalleryWalk] === value),
  )!;

describe('the gallery', () => {
  it('has every mode, pair of page sizes and state, each once', () => {
    const { modes, walks } = gallery;
    expect(modes).toEqual(expect.arrayContaining(['native', 'nested']));
    expect(walks).toHaveLength(modes.reduce((sum, mode) => sum + 4 * (mode === 'native' ? 3 : 9), 0));
    const keys = walks.map((walk) => [walk.mode, walk.guestPage, walk.nestedPage, walk.state].join());
    expect(new Set(keys).size).toBe(walks.length);
    expect(walks.filter(({ told }) => !told).map(({ reason }) => reason)).toEqual([]);
  });

  it('takes, without caches, the references of the formula, all from memory', () => {
    for (const walk of gallery.walks.filter(({ state }) => state === 'bare')) {
      const { references, cycles, steps, skipped } = walk.told!.walk;
      expect(
        [references, cycles, skipped],
        JSON.stringify([walk.mode, walk.guestPage, walk.nestedPage]),
      ).toEqual([fullWalk(walk), 200 * fullWalk(walk), []]);
      expect(new Set(steps.map(({ servedBy }) => servedBy))).toEqual(new Set(['memory']));
    }
  });

  it('shows the walk that walkOnce shows of the same choice', async () => {
    const { told } = find({ mode: 'nested', guestPage: '4KiB', nestedPage: '4KiB', state: 'bare' });
    expect(told!.walk).toEqual(await walkOnce(BARE, ADDRESS));
    const warm = find({ mode: 'nested', guestPage: '4KiB', nestedPage: '4KiB', state: 'warm' });
    const config = { ...BARE, machine: 'skylake-sp' };
    expect(warm.told!.walk).toEqual(await walkOnce(config, ADDRESS, { warm: 1000 }));
  });

  it('lends a machine without caches those of a Skylake: a cold one walks, the same access again does not', () => {
    expect(gallery.machine.preset).toBe('skylake-sp');
    // One look into the PSCs, and four entries from memory.
    expect(find({ mode: 'native', guestPage: '4KiB', state: 'cold' }).told!.walk.cycles).toBe(1 + 4 * 200);
    for (const { told } of gallery.walks.filter(({ state }) => state === 'again')) {
      expect(told!.walk).toMatchObject({ references: 0, cycles: 0, steps: [] });
      expect(told!.walk.skipped.map(({ structure }) => structure)).toEqual(['l1d']);
    }
  });

  it('begins with what was asked for, on the machine that was given', async () => {
    expect(gallery.shown).toEqual({ mode: 'nested', guestPage: '4KiB', nestedPage: '4KiB', state: 'bare' });
    const paging = { mode: 'native', guestPage: '2MiB' };
    const own = await walkGallery({ ...BARE, machine: 'zen4', paging }, ADDRESS, { warm: 10 });
    expect(own.shown).toMatchObject({ mode: 'native', guestPage: '2MiB', state: 'warm' });
    expect([own.machine.preset, own.warm]).toEqual(['zen4', 10]);
  });

  it('says why there is no walk where the configuration cannot have one', async () => {
    const regions = [{ bytes: 2 ** 22, base: 2 ** 21 }];
    const own = await walkGallery({ ...BARE, regions }, 2 ** 21);
    const without = own.walks.filter(({ told }) => !told);
    expect(new Set(without.map(({ guestPage }) => guestPage))).toEqual(new Set(['1GiB']));
    for (const { reason } of without) expect(reason).toMatch(/base/);
  });

  it('refuses what was asked for itself, and stops when it is told to', async () => {
    await expect(walkGallery(BARE, 0x1000)).rejects.toMatchObject({ code: 'usage' });
    await expect(walkGallery({ ...BARE, paging: { guestPage: '3KiB' } }, ADDRESS)).rejects.toMatchObject({
      code: 'config.invalid',
    });
    const controller = new AbortController();
    const onProgress = (done: number): void => {
      if (done === 3) controller.abort();
    };
    const { signal } = controller;
    await expect(walkGallery(BARE, ADDRESS, { signal, onProgress })).rejects.toMatchObject({
      code: 'run.cancelled',
    });
  });
});

describe('the story', () => {
  const storyOf = ({ told }: GalleryWalk) => walkStory(told!.walk, told!.config);

  it('goes through the 24 references row by row, each nested walk before the entry that it finds', () => {
    const story = storyOf(find({ mode: 'nested', guestPage: '4KiB', nestedPage: '4KiB', state: 'bare' }));
    const rows = ['gL4', 'gL3', 'gL2', 'gL1', 'gPA'];
    const order = rows.flatMap((row) =>
      ['nL4', 'nL3', 'nL2', 'nL1', 'g']
        .filter((column) => row !== 'gPA' || column !== 'g')
        .map((column) => `${row}/${column}`),
    );
    expect(order).toHaveLength(24);
    expect(story.events.map(({ kind }) => kind)).toEqual(['start', ...order.map(() => 'reference'), 'end']);
    expect(story.events.slice(1, -1).map(({ place }) => place)).toEqual(order);
    expect(story.events.map(({ references }) => references)).toEqual([...Array(25).keys(), 24]);
    expect(story.events.map(({ cycles }) => cycles)).toEqual([...Array(25).keys(), 24].map((n) => 200 * n));
  });

  it('says where each entry is, whose it is, and where it leads', () => {
    const { told } = find({ mode: 'nested', guestPage: '4KiB', nestedPage: '4KiB', state: 'bare' });
    const { events } = storyOf({ ...find({}), told });
    const { steps } = told!.walk;
    steps.forEach((step, at) => {
      const { sentence } = events[at + 1];
      expect(sentence).toContain(`entry ${step.index} of`);
      expect(sentence).toContain(`HPA ${step.entryHpa}`);
      if (step.dimension === 'guest')
        expect(sentence).toContain(`GPA ${step.entryGpa}, which the nested table maps to`);
      else expect(sentence).toContain(`GPA ${step.gpa}`);
      expect(sentence).toContain(step.target);
    });
    // What a guest's entry points at is what the next nested walk looks for, and in the end what that walk finds is HPA.
    const guest = steps.filter(({ dimension }) => dimension === 'guest');
    guest.forEach((entry, at) => {
      const next = steps.find(({ row }) => row === (['gL3', 'gL2', 'gL1', 'gPA'] as const)[at])!;
      const isData = next.row === 'gPA';
      expect(BigInt(next.gpa!) - (isData ? 0x678n : 0n)).toBe(BigInt(entry.target!));
    });
    expect(BigInt(steps.at(-1)!.target!) + 0x678n).toBe(BigInt(told!.walk.hpa!));
  });

  it('accounts for every place of every walk: read, saved, or spared by exactly one', () => {
    for (const walk of gallery.walks) {
      const story = storyOf(walk);
      const name = JSON.stringify([walk.mode, walk.guestPage, walk.nestedPage, walk.state]);
      const visited = story.events.flatMap(({ place, spares }) => [...(place ? [place] : []), ...spares]);
      expect(new Set(visited).size, name).toBe(visited.length);
      expect(visited, name).toHaveLength(fullWalk(walk));
      const all = story.rows.length * story.columns.length - (story.rows.length > 1 ? 1 : 0);
      expect(Object.keys(story.absent), name).toHaveLength(all - fullWalk(walk));
      expect(
        visited.filter((place) => place in story.absent),
        name,
      ).toEqual([]);
      const last = story.events.at(-1)!;
      expect([last.kind, last.references, last.cycles], name).toEqual([
        'end',
        walk.told!.walk.references,
        walk.told!.walk.cycles,
      ]);
      const costs = story.events.map(({ cycles }) => cycles);
      expect(costs, name).toEqual([...costs].sort((a, b) => a - b));
    }
  });

  it('tells of a page-walk cache, which saves references and no steps', async () => {
    const input = { ...BARE, machine: 'zen4', paging: { mode: 'native' } };
    const walk = await walkOnce(input, ADDRESS, { warm: 1000 });
    const saved = walk.steps.filter(({ servedBy }) => servedBy === 'pwc');
    expect(saved.length).toBeGreaterThan(0);
    expect(walk.references).toBe(4 - saved.length);
    const story = walkStory(walk, resolveConfig(input).config);
    expect(story.events.filter(({ kind }) => kind === 'saved').map(({ answer }) => answer)).toEqual(
      saved.map(() => 'PWC'),
    );
    expect(story.outcome).toContain(`${walk.references} reference`);
  });

  it('ends with the fault where there is one', async () => {
    const input = { ...BARE, paging: { mode: 'nested', populate: 'demand' } };
    const walk = await walkOnce(input, ADDRESS);
    const story = walkStory(walk, resolveConfig(input).config);
    expect(story.faulty).toBe(true);
    expect(story.events.at(-1)!.sentence).toContain(walk.fault!.message);
    expect(story.events.flatMap(({ spares }) => spares)).toEqual([]);
  });

  it('says that a write to a clean entry walks although the TLB has the page', async () => {
    // One page, read before: its TLB entry is not dirty, and neither is the entry in the table.
    const regions = [{ bytes: 4096, base: ADDRESS - (ADDRESS % 4096) }];
    const input = { ...BARE, regions, machine: 'skylake-sp', paging: { mode: 'native', ad: 'clear' } };
    const read = await walkOnce(input, ADDRESS, { warm: 1 });
    expect(read).toMatchObject({ steps: [], skipped: [{ structure: 'l1d', size: '4KiB' }] });
    expect(read.skipped[0].message).toMatch(/no walk$/);
    const write = await walkOnce(input, ADDRESS, { warm: 1, kind: 'write' });
    expect(write.steps.at(-1)).toMatchObject({ level: 1, leaf: true });
    const { events } = walkStory(write, resolveConfig(input).config);
    expect(events[1]).toMatchObject({ kind: 'hit', answer: 'L1 TLB', spares: [] });
    expect(events[1].sentence).toMatch(/dirty walk/);
    expect(events[2]).toMatchObject({ kind: 'hit', answer: 'PSC', spares: ['pt/L4', 'pt/L3', 'pt/L2'] });
  });
});

inBrowser('the page', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'nestwalk-walk-'));
  let browser: Browser;
  let file: string;
  beforeAll(async () => {
    browser = await launch();
    file = path.join(folder, 'walk.html');
    writeFileSync(file, walkPage(gallery));
  }, 60_000);
  afterAll(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true });
  });

  const open = async (hash = '', options = {}) => {
    const watched = await watchedPage(browser, options);
    await watched.page.goto(`${pathToFileURL(file)}${hash}`);
    return watched;
  };
  /** What one panel shows: numbers by place, in the order of the numbers; the current place; references and cycles. */
  const panel = (page: Page, mode: string) =>
    page.locator(`[data-mode="${mode}"]`).evaluate((root) => ({
      steps: [...root.querySelectorAll('td.done')].map((cell) => ({
        place: cell.getAttribute('data-place'),
        step: Number(cell.querySelector('b')?.textContent),
        answer: cell.querySelector('span')?.textContent,
        hpa: cell.querySelector('code')?.textContent,
      })),
      current: [...root.querySelectorAll('td.current')].map((cell) => cell.getAttribute('data-place')),
      spared: root.querySelectorAll('td.spared').length,
      absent: root.querySelectorAll('td.absent').length,
      cost: [...root.querySelectorAll('.cost span')].map((span) => span.textContent),
    }));
  const asShown = (walk: WalkSteps, count: number) =>
    walk.steps.slice(0, count).map(({ row, col, step, servedBy, entryHpa }) => ({
      place: `${row}/${col}`,
      step,
      answer: servedBy,
      hpa: entryHpa,
    }));
  const sentence = (page: Page) => page.locator('#sentence').textContent();

  it('steps through the 24 references by the arrow keys, native beside it, and asks for nothing', async () => {
    const { page, complaints, requests } = await open();
    const { told } = find({ mode: 'nested', guestPage: '4KiB', nestedPage: '4KiB', state: 'bare' });
    const native = find({ mode: 'native', guestPage: '4KiB', state: 'bare' }).told!.walk;
    const { events } = walkStory(told!.walk, told!.config);
    expect((await panel(page, 'nested')).steps).toEqual([]);
    for (let at = 1; at <= 24; at++) {
      await page.keyboard.press('ArrowRight');
      const nested = await panel(page, 'nested');
      expect(nested.steps, `after ${at} steps`).toEqual(asShown(told!.walk, at));
      expect(nested.current).toEqual([events[at].place]);
      expect(nested.cost).toEqual([
        `${at} ${at === 1 ? 'reference' : 'references'}`,
        `${(200 * at).toLocaleString('en-GB')} walk cycles`,
      ]);
      expect(await sentence(page)).toBe(events[at].sentence);
      expect((await panel(page, 'native')).steps).toEqual(asShown(native, Math.min(at, 4)));
    }
    await page.keyboard.press('ArrowRight');
    expect(await sentence(page)).toContain(`is at HPA ${told!.walk.hpa}`);
    expect(await page.locator('[data-mode="nested"] .end').textContent()).toMatch(/, 6 × the native cycles$/);
    await page.keyboard.press('ArrowLeft');
    await page.keyboard.press('ArrowLeft');
    expect((await panel(page, 'nested')).steps).toEqual(asShown(told!.walk, 23));
    await page.keyboard.press('Home');
    expect((await panel(page, 'nested')).steps).toEqual([]);
    await page.keyboard.press('End');
    expect((await panel(page, 'nested')).steps).toEqual(asShown(told!.walk, 24));
    expect(complaints).toEqual([]);
    expect(requests.map((url) => url.split('#')[0])).toEqual([pathToFileURL(file).href]);
    await page.close();
  }, 60_000);

  it('switches page sizes, machine and the walk that is told', async () => {
    const { page, complaints } = await open();
    const choose = (name: string, value: string) =>
      page.locator(`input[name="${name}"][value="${value}"]`).check();
    await page.keyboard.press('End');
    for (const [guest, nested, state] of [
      ['2MiB', '2MiB', 'bare'],
      ['4KiB', '2MiB', 'cold'],
      ['1GiB', '4KiB', 'warm'],
      ['2MiB', '1GiB', 'again'],
    ] as const) {
      await choose('guest', guest);
      await choose('nested', nested);
      await choose('machine', state);
      const walk = find({ mode: 'nested', guestPage: guest, nestedPage: nested, state });
      const story = walkStory(walk.told!.walk, walk.told!.config);
      const seen = await panel(page, 'nested');
      // Who is at the end stays at the end.
      expect(seen.steps, state).toEqual(asShown(walk.told!.walk, 99));
      expect(seen.spared, state).toBe(story.events.flatMap(({ spares }) => spares).length);
      expect(seen.absent, state).toBe(Object.keys(story.absent).length);
      expect(await sentence(page), state).toBe(story.events.at(-1)!.sentence);
    }
    await choose('told', 'native');
    const native = find({ mode: 'native', guestPage: '2MiB', state: 'again' }).told!;
    expect(await sentence(page)).toBe(walkStory(native.walk, native.config).events.at(-1)!.sentence);
    expect(await page.locator('article.told').getAttribute('data-mode')).toBe('native');
    // The arrow keys step even after a click on a switch.
    await page.locator('label', { hasText: 'cold' }).click();
    await page.keyboard.press('Home');
    await page.keyboard.press('ArrowRight');
    expect(await page.locator('#position').inputValue()).toBe('1');
    expect(complaints).toEqual([]);
    await page.close();
  }, 60_000);

  it('plays and pauses, by key and by button, and without motion for those who want none', async () => {
    const { page } = await open('', { reducedMotion: 'reduce' });
    const position = () => page.locator('#position').inputValue().then(Number);
    await page.locator('#speed').selectOption('250');
    await page.locator('#play').click();
    await expect.poll(position, { timeout: 10_000 }).toBeGreaterThan(2);
    expect(await page.locator('#play').textContent()).toBe('Pause');
    await page.locator('h1').click();
    await page.keyboard.press('Space');
    expect(await page.locator('#play').textContent()).toBe('Play');
    const stopped = await position();
    await page.waitForTimeout(600);
    expect(await position()).toBe(stopped);
    const cell = page.locator('td.current').first();
    expect(await cell.evaluate((element) => getComputedStyle(element).transitionDuration)).toBe('0s');
    await page.keyboard.press('End');
    await page.keyboard.press('Space');
    await expect.poll(position, { timeout: 10_000 }).toBeLessThan(5);
    await page.close();
  }, 60_000);

  it('leaves the arrow keys to a switch that has the focus, and tells a screen reader each step', async () => {
    const { page } = await open();
    await page.locator('input[name="guest"]:checked').focus();
    await page.keyboard.press('ArrowRight');
    expect(await page.locator('input[name="guest"]:checked').inputValue()).toBe('2MiB');
    expect(await page.locator('#position').inputValue()).toBe('0');
    expect(await page.locator('#sentence').getAttribute('aria-live')).toBe('polite');
    await page.locator('#next').click();
    expect(
      await page.locator('[data-mode="nested"] td[aria-current="step"]').getAttribute('data-place'),
    ).toBe('gL4/nL4');
    const words = await page.locator('[data-place="gL1/g"]').textContent();
    expect(words).toContain('a 2MiB page ends the walk');
    await page.close();
  });

  it('keeps its place in the address, and comes back to it', async () => {
    const { page } = await open('#guest=2MiB&nested=4KiB&machine=cold&told=native&at=2');
    expect(
      await page
        .locator('input:checked')
        .evaluateAll((all) => all.map((input) => (input as unknown as { value: string }).value)),
    ).toEqual(['2MiB', '4KiB', 'cold', 'native']);
    expect(await page.locator('#position').inputValue()).toBe('2');
    await page.keyboard.press('ArrowRight');
    expect(new URL(page.url()).hash).toBe('#guest=2MiB&nested=4KiB&machine=cold&told=native&at=3');
    await page.goto(`${pathToFileURL(file)}#guest=nonsense&at=-7`);
    expect(await page.locator('#position').inputValue()).toBe('0');
    await page.close();
  });

  it.each([390, 1024])('fits a screen of %i pixels', async (width) => {
    const { page } = await open('#at=24', { viewport: { width, height: 800 } });
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(width);
    const spare = await page.locator('td.done').evaluateAll((cells) =>
      cells.map((cell) => {
        const range = document.createRange();
        range.selectNodeContents(cell.querySelector('span')!);
        return cell.clientWidth - range.getBoundingClientRect().width;
      }),
    );
    expect(spare).toHaveLength(24 + 4 * (gallery.modes.length - 1));
    expect(Math.min(...spare)).toBeGreaterThanOrEqual(0);
    await page.close();
  });

  it('shows hostile words as text', async () => {
    const words = '</script><img src=x onerror="document.title=1"><!--';
    const walks = gallery.walks.map((walk) => {
      if (walk.mode === 'native') return { ...walk, told: undefined, reason: words };
      const { told } = walk;
      const steps = told!.walk.steps.map((step) => ({ ...step, servedBy: words }));
      return { ...walk, told: { ...told!, walk: { ...told!.walk, steps } } };
    });
    const hostile = path.join(folder, 'hostile.html');
    writeFileSync(hostile, walkPage({ ...gallery, walks }));
    const { page, complaints, requests } = await watchedPage(browser);
    await page.goto(pathToFileURL(hostile).href);
    await page.keyboard.press('End');
    expect(await page.locator('[data-place="gL4/nL4"] span').textContent()).toBe(words);
    expect(await page.locator('[data-mode="native"]').textContent()).toContain(`cannot have it: ${words}`);
    expect(await page.title()).toContain('0x7f5a12345678');
    expect(await page.locator('img').count()).toBe(0);
    expect(complaints).toEqual([]);
    expect(requests).toHaveLength(1);
    await page.close();
  }, 60_000);
});
