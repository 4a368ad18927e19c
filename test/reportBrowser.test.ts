/** Reports in a real browser: numbers read back from the page against the store, and what a reader does with it. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser, Locator, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Row } from '../src/report/browser/figure.js';
import { rowsOf, sweepReport } from '../src/report/html/data.ts';
import { reportPage } from '../src/report/html/report.ts';
import { readReport } from '../src/report/html/sources.ts';
import { readPlan } from '../src/sweep/folder.ts';
import { readJournal } from '../src/sweep/journal.ts';
import type { PlanCell } from '../src/sweep/plan.ts';
import { sweepTable } from '../src/sweep/rows.ts';
import { exportSweep } from '../src/sweep/status.ts';
import { inBrowser, launch, type WatchedPage, watchedPage } from './support/chromium.ts';
import { makeUp, planned, realSweep } from './support/reportSweeps.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'nestwalk-report-page-'));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string): string => path.join(folder, name);

/** Rows from the journal, not from the report. */
const storeRows = (sweep: string): Row[] => rowsOf(sweepTable(readPlan(sweep), readJournal(sweep)));

/** Made-up counters in which everything differs: misses fall with the size of the STLB. */
const madeUp = ({
  index,
}: PlanCell): { counters: Record<string, number>; events: Record<string, number> } => {
  const misses = 1000 + ((index * 7919) % 50_000);
  return {
    counters: {
      accesses: 100_000,
      reads: 100_000,
      l1Misses: 60_000,
      stlbMisses: misses,
      walks: misses,
      refs_gL1_g: misses,
      refs_gPA_nL1: misses,
      refHits_guest_memory: misses,
      refHits_nested_memory: misses,
    },
    events: {},
  };
};

const BASE =
  'accesses: 1e5\nfootprint: 64MiB\npaging: {mode: nested}\nmachine: {preset: tiny, stlb: [{entries: 64, ways: 4, sizes: [4KiB, 2MiB]}]}\n';

inBrowser('a report', () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await launch();
    await realSweep(at('real'));
    writeFileSync(at('real.html'), await reportPage(sweepReport(at('real')), 'real'));
  }, 120_000);
  afterAll(() => browser?.close());

  /** Opens a page that must neither complain nor ask for anything but itself; `done` says so. */
  async function opened(
    file: string,
    options: Parameters<typeof watchedPage>[1] = {},
  ): Promise<WatchedPage & { done: () => Promise<void> }> {
    const watched = await watchedPage(browser, options);
    const address = pathToFileURL(file).href;
    await watched.page.goto(address);
    await watched.page.waitForSelector('[data-ready]', { state: 'attached', timeout: 30_000 });
    const done = async (): Promise<void> => {
      await watched.page.close();
      expect(watched.complaints).toEqual([]);
      const asked = watched.requests.filter(
        (request) => !request.startsWith('data:') && !request.startsWith('blob:'),
      );
      expect(asked).toEqual([address]);
    };
    return { ...watched, done };
  }

  const figure = (page: Page, id: string): Locator => page.locator(`[data-figure="${id}"]`);

  /** Marks of a figure: their texts, and where they are. */
  const marksOf = (holder: Locator): Promise<{ tip: string; x: number; y: number; width: number }[]> =>
    holder.locator('.drawing [data-tip]').evaluateAll((marks) =>
      marks.map((mark) => {
        const { left, top, width, height } = mark.getBoundingClientRect();
        return { tip: mark.getAttribute('data-tip') ?? '', x: left + width / 2, y: top + height / 2, width };
      }),
    );

  const cellOf = (tip: string): number => Number(/cell (\d+)/.exec(tip)![1]);

  /** Texts of figures that lie on one another, or leave their drawing or the window. */
  const textTroubles = (page: Page): Promise<string[]> =>
    page.evaluate(() => {
      const troubles: string[] = [];
      for (const drawing of document.querySelectorAll('.drawing')) {
        const frame = drawing.querySelector('svg')?.getBoundingClientRect();
        if (!frame) continue;
        const texts = [...drawing.querySelectorAll('svg text')]
          .filter((text) => text.textContent !== '')
          .map((text) => ({ text: text.textContent, box: text.getBoundingClientRect() }));
        const name = drawing.parentElement?.getAttribute('data-figure');
        texts.forEach(({ text, box }, index) => {
          const isOut =
            box.left < frame.left - 2 ||
            box.right > frame.right + 2 ||
            box.top < frame.top - 2 ||
            box.bottom > frame.bottom + 2;
          if (isOut) troubles.push(`${name}: ${text} is cut`);
          for (const other of texts.slice(index + 1)) {
            const across = Math.min(box.right, other.box.right) - Math.max(box.left, other.box.left);
            const down = Math.min(box.bottom, other.box.bottom) - Math.max(box.top, other.box.top);
            if (across > 1 && down > 3) troubles.push(`${name}: ${text} lies on ${other.text}`);
          }
        });
      }
      if (document.documentElement.scrollWidth > innerWidth + 1)
        troubles.push('the page is wider than the window');
      return troubles;
    });

  it('shows the numbers of the store: curves at their height, tips with their cell', async () => {
    const { page, done } = await opened(at('real.html'));
    const rows = storeRows(at('real'));
    const curve = figure(page, 'curve-stlb-entries');
    const marks = await marksOf(curve);
    // 5 sizes × 2 colours × 2 panels.
    expect(new Set(marks.map(({ tip }) => cellOf(tip))).size).toBe(20);
    const heights = marks.map(({ tip, y }) => {
      const row = rows[cellOf(tip)];
      const ratio = Number(row.stlbMisses) / Number(row.accesses);
      expect(Number(/miss ratio: ([\d.]+) %/.exec(tip)![1])).toBeCloseTo(100 * ratio, 1);
      expect(tip).toContain(`guest page: ${row.config_guestPage}`);
      return { ratio, y };
    });
    // Heights are linear in the ratio: all lie on the line through the least and the largest.
    const order = [...heights].sort((a, b) => a.ratio - b.ratio);
    const [low, high] = [order[0], order[order.length - 1]];
    expect(high.ratio).toBeGreaterThan(low.ratio);
    for (const { ratio, y } of heights)
      expect(
        Math.abs(low.y + ((ratio - low.ratio) / (high.ratio - low.ratio)) * (high.y - low.y) - y),
      ).toBeLessThan(1.5);
    await done();
  });

  it('shows bars as long as their cycles, and the square’s per cent', async () => {
    const { page, done } = await opened(at('real.html'));
    const rows = storeRows(at('real'));
    const chosen = await figure(page, 'cycles')
      .locator('select')
      .evaluateAll((selects) =>
        selects.map((select) => (select as HTMLSelectElement).selectedOptions[0].textContent),
      );
    const [workload, entries, ways] = chosen;
    const slice = rows.filter(
      (row) =>
        row.config_stlbEntries === Number(entries) &&
        row.config_stlbWays === Number(ways) &&
        String(row.config_workload).startsWith(String(workload).slice(0, 4)),
    );
    expect(slice).toHaveLength(4);
    const bars = (await marksOf(figure(page, 'cycles'))).filter(({ tip }) =>
      /^guest page on nested page: /.test(tip),
    );
    const scale = bars.map(({ tip, width }) => {
      const [, pages, part] = /nested page: (.+)\n([^:]+): /.exec(tip)!;
      const row = slice.find((it) => `${it.config_guestPage} on ${it.config_nestedPage}` === pages)!;
      const accesses = Number(row.accesses);
      const cycles = {
        'STLB hits': row.stlbHitCycles,
        'guest’s entries': row.walkCycles_guest,
        'nested entries': row.walkCycles_nested,
      }[part];
      return { cycles: Number(cycles) / accesses, width };
    });
    expect(scale.length).toBeGreaterThan(6);
    const unit =
      Math.max(...scale.map(({ width }) => width)) / Math.max(...scale.map(({ cycles }) => cycles));
    for (const { cycles, width } of scale) expect(Math.abs(width - unit * cycles)).toBeLessThan(2.5);

    const square = await marksOf(figure(page, 'square'));
    const base = square.find(({ tip }) => tip.startsWith('guest page: 4KiB\nnested page: 4KiB'))!;
    const cost = (tip: string): number => Number(rows[cellOf(tip)].walkCyclesPerAccess_total);
    expect(square).toHaveLength(4);
    for (const { tip } of square)
      expect(tip).toContain(`${((100 * cost(tip)) / cost(base.tip)).toFixed(1)} % of 4KiB on 4KiB`);
    await done();
  });

  it('shows the other cells when another slice, measure or colour is chosen', async () => {
    const { page, done } = await opened(at('real.html'));
    const rows = storeRows(at('real'));
    const curve = figure(page, 'curve-stlb-entries');
    await curve.getByLabel('STLB ways', { exact: true }).selectOption({ label: '16' });
    await curve.getByLabel('nested page', { exact: true }).selectOption({ label: '2MiB' });
    await curve.getByLabel('shown').selectOption({ label: 'walk cycles per access' });
    const marks = await marksOf(curve);
    const expected = rows.filter((row) => row.config_stlbWays === 16 && row.config_nestedPage === '2MiB');
    expect(marks.map(({ tip }) => cellOf(tip)).sort()).toEqual(expected.map(({ index }) => index).sort());
    for (const { tip } of marks)
      expect(Number(/walk cycles per access: ([\d.,]+)/.exec(tip)![1].replaceAll(',', ''))).toBeCloseTo(
        Number(rows[cellOf(tip)].walkCyclesPerAccess_total),
        1,
      );
    await curve.getByLabel('colours').selectOption({ label: 'STLB ways' });
    await curve.getByLabel('guest page', { exact: true }).selectOption({ label: '2MiB' });
    const coloured = await marksOf(curve);
    const others = rows.filter((row) => row.config_guestPage === '2MiB' && row.config_nestedPage === '2MiB');
    expect(coloured.map(({ tip }) => cellOf(tip)).sort()).toEqual(others.map(({ index }) => index).sort());
    // The table behind it follows.
    await curve.locator('summary').click();
    expect(await curve.locator('.behind tbody tr').count()).toBe(others.length);
    await done();
  });

  it('tells a mark’s numbers to a pointer and to the keyboard', async () => {
    const { page, done } = await opened(at('real.html'));
    const curve = figure(page, 'curve-stlb-entries');
    await curve.scrollIntoViewIfNeeded();
    // Scrolling hides tips, and is told a little later.
    await page.waitForTimeout(200);
    const [first] = await marksOf(curve);
    const tip = page.locator('.tip');
    await page.mouse.move(first.x + 9, first.y + 6);
    expect(await tip.textContent()).toContain(`cell ${cellOf(first.tip)}`);
    expect(await tip.isVisible()).toBe(true);
    await page.mouse.move(2, 2);
    expect(await tip.isVisible()).toBe(false);
    await curve.locator('.drawing').focus();
    await page.keyboard.press('ArrowRight');
    const one = await tip.textContent();
    await page.keyboard.press('ArrowRight');
    const other = await tip.textContent();
    expect(other).not.toBe(one);
    await page.keyboard.press('ArrowLeft');
    expect(await tip.textContent()).toBe(one);
    await page.keyboard.press('Escape');
    expect(await tip.isVisible()).toBe(false);
    await done();
  });

  it('filters, sorts and shows more of the table', async () => {
    const { page, done } = await opened(at('real.html'));
    const rows = storeRows(at('real'));
    const cells = page.locator('#cells');
    const column = (index: number): Promise<string[]> =>
      cells.locator(`tbody tr td:nth-child(${index + 1})`).allTextContents();
    const heads = await cells.locator('thead th').allTextContents();
    expect(heads).toEqual([
      'cell',
      'workload',
      'guestPage',
      'nestedPage',
      'stlb[0].entries',
      'stlb[0].ways',
      'TLB misses',
      'miss ratio',
      'refs/walk',
      'walk cycles/access',
    ]);
    expect(await cells.locator('tbody tr').count()).toBe(50);
    await cells.locator('.more').click();
    expect(await cells.locator('tbody tr').count()).toBe(rows.length);
    await cells.getByRole('searchbox').fill('guestPage=2MiB ways=4 misses>100');
    const expected = rows.filter(
      (row) => row.config_guestPage === '2MiB' && row.config_stlbWays === 4 && Number(row.stlbMisses) > 100,
    );
    expect(expected.length).toBeGreaterThan(2);
    expect((await column(0)).map(Number)).toEqual(expected.map(({ index }) => index));
    const sort = cells.getByRole('button', { name: 'walk cycles/access' });
    for (const direction of [1, -1]) {
      await sort.click();
      const order = (await column(0)).map((cell) => Number(rows[Number(cell)].walkCyclesPerAccess_total));
      expect(order).toEqual([...order].sort((a, b) => direction * (a - b)));
    }
    expect(await cells.locator('th[aria-sort="descending"]').textContent()).toBe('walk cycles/access');
    expect(await cells.locator('.counted').textContent()).toContain(
      `${expected.length} of ${rows.length} rows`,
    );
    await cells.getByRole('searchbox').fill('no such thing');
    expect(await cells.locator('tbody tr').count()).toBe(0);
    // A column that was not shown.
    await cells.getByRole('searchbox').fill('');
    await cells.locator('summary').click();
    await cells.getByLabel('refs_gPA_nL1', { exact: true }).check();
    expect((await cells.locator('thead th').allTextContents()).at(-1)).toBe('refs_gPA_nL1');
    expect((await column(10))[0].replaceAll(',', '')).toBe(
      String(rows[Number((await column(0))[0])].refs_gPA_nL1),
    );
    await done();
  });

  const downloaded = async (page: Page, button: Locator): Promise<{ name: string; content: Buffer }> => {
    const [download] = await Promise.all([page.waitForEvent('download'), button.click()]);
    return { name: download.suggestedFilename(), content: readFileSync(await download.path()) };
  };

  it('gives its data as the export does, and its figures as SVG, PNG and CSV', async () => {
    const { page, done } = await opened(at('real.html'));
    const cells = page.locator('#cells');
    const all = await downloaded(page, cells.getByRole('button', { name: 'CSV of all' }));
    expect(all.name).toBe('real.csv');
    expect(all.content.toString('utf8')).toBe(await exportSweep(at('real'), 'csv'));
    await cells.getByRole('searchbox').fill('ways=16');
    const some = await downloaded(page, cells.getByRole('button', { name: 'CSV of the rows filtered' }));
    expect(some.content.toString('utf8').trimEnd().split('\n')).toHaveLength(
      1 + storeRows(at('real')).length / 3,
    );

    const heat = figure(page, 'heat-stlb-entries-stlb-ways');
    const svg = await downloaded(page, heat.getByRole('button', { name: 'SVG' }));
    expect(svg.name).toMatch(
      /^real_heat-stlb-entries-stlb-ways_missRatio_workload-\w+.*_guest-page-\d\wiB_nested-page-\d\wiB\.svg$/,
    );
    const markup = svg.content.toString('utf8');
    expect(markup).toMatch(/^<\?xml version="1.0" encoding="UTF-8"\?>\n<svg [^>]*xmlns=/);
    expect(markup).not.toMatch(/var\(|currentColor|data-tip|class="lit"/);
    expect(markup.match(/<title>/g)!.length).toBe(15);
    const png = await downloaded(page, heat.getByRole('button', { name: 'PNG' }));
    expect(png.content.subarray(1, 4).toString()).toBe('PNG');
    const width = Number(/<svg [^>]*width="([\d.]+)"/.exec(markup)![1]);
    expect(Math.abs(png.content.readUInt32BE(16) - 2 * width)).toBeLessThanOrEqual(2);
    const csv = await downloaded(page, heat.getByRole('button', { name: 'CSV' }));
    const lines = csv.content.toString('utf8').trimEnd().split('\n');
    expect(lines[0]).toBe('STLB ways,STLB entries,miss ratio (% of accesses)');
    expect(lines).toHaveLength(16);
    const tips = (await marksOf(heat)).map(({ tip }) => tip);
    const ratios = tips.map((tip) => (100 * Number(storeRows(at('real'))[cellOf(tip)].stlbMisses)) / 4000);
    expect(
      lines
        .slice(1)
        .map((line) => Number(line.split(',')[2]))
        .sort(),
    ).toEqual(ratios.sort());
    await done();
  });

  it('can be read where scripts do not run', async () => {
    const { page } = await watchedPage(browser, { javaScriptEnabled: false });
    await page.goto(pathToFileURL(at('real.html')).href);
    expect(await page.locator('.drawing > svg').count()).toBe(await page.locator('[data-figure]').count());
    expect(await page.locator('.chosen').first().isVisible()).toBe(true);
    expect(await page.locator('#cells tbody tr').count()).toBe(50);
    expect(await page.locator('.controls, .saves, .tools, #colours').filter({ visible: true }).count()).toBe(
      0,
    );
    expect(await page.locator('noscript').textContent()).toContain('The first 50 of 120 rows');
    await page.close();
  });

  it.each([
    ['light', 1280],
    ['dark', 1280],
    ['light', 400],
  ] as const)('has no text on another or cut: %s, %s pixels wide', async (colorScheme, width) => {
    const { page, done } = await opened(at('real.html'), { colorScheme, viewport: { width, height: 900 } });
    await page.waitForTimeout(150);
    expect(await textTroubles(page)).toEqual([]);
    const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    expect(ground).toBe(colorScheme === 'dark' ? 'rgb(20, 23, 27)' : 'rgb(255, 255, 255)');
    await page.locator('#colours').click();
    expect(await page.evaluate(() => getComputedStyle(document.body).backgroundColor)).not.toBe(ground);
    // On paper it is light whatever was chosen, and nothing is there to press.
    await page.emulateMedia({ media: 'print' });
    expect(await page.evaluate(() => getComputedStyle(document.body).backgroundColor)).toBe(
      'rgb(255, 255, 255)',
    );
    expect(await page.locator('button:not(.sort):visible, select:visible, input:visible').count()).toBe(0);
    expect(await page.locator('.chosen').first().isVisible()).toBe(true);
    await done();
  });

  it('names everything that can be operated', async () => {
    const { page, done } = await opened(at('real.html'));
    const nameless = await page
      .locator('button, select, input, [tabindex="0"]')
      .evaluateAll((all) =>
        all
          .filter(
            (it) =>
              !(
                it.textContent?.trim() ||
                it.getAttribute('aria-label') ||
                it.closest('label')?.textContent?.trim()
              ),
          )
          .map((it) => it.outerHTML.slice(0, 80)),
      );
    expect(nameless).toEqual([]);
    expect(await page.locator('svg[role="img"]:not([aria-label])').count()).toBe(0);
    const levels = await page
      .locator('h1, h2, h3')
      .evaluateAll((all) => all.map((it) => Number(it.tagName[1])));
    expect(levels[0]).toBe(1);
    expect(levels.filter((level) => level === 1)).toHaveLength(1);
    await done();
  });

  it('shows hostile names as text', async () => {
    const sweep = at('<img src=x onerror=hacked()>');
    const traces = [
      '</script><script>window.hacked=1<!--',
      `"onload="window.hacked=1" '&amp;`,
      '\u202eرشيد 🦙🦙',
      'x'.repeat(180),
    ].map((name) => name.replaceAll('/', '∕'));
    mkdirSync(at('</script'), { recursive: true });
    const files = [...traces.map((name) => `${name}.lackey`), '</script/script>.lackey'];
    for (const [index, name] of files.entries())
      writeFileSync(at(name), ` L ${(0x1000 * (index + 1)).toString(16)},8\n S 2000,8\n`);
    const vary = files.map((name) => ({ trace: at(name), format: 'lackey' }));
    const text = JSON.stringify({
      seed: 1,
      machine: 'tiny',
      vary: { workload: vary, 'paging.guestPage': ['4KiB', '2MiB'] },
    });
    const plan = await planned(sweep, text);
    const reason = '</script><script>window.hacked=1</script><!--';
    makeUp(sweep, plan, (cell) => (cell.index === 3 ? reason : madeUp(cell)));
    writeFileSync(at('hostile.html'), await reportPage(sweepReport(sweep), 'hostile'));
    const { page, done } = await opened(at('hostile.html'));
    expect(await page.evaluate(() => (window as unknown as { hacked?: number }).hacked)).toBeUndefined();
    expect(await page.locator('img, iframe').count()).toBe(0);
    expect(await page.locator('h1').textContent()).toBe('Sweep <img src=x onerror=hacked()>');
    expect(await page.locator('body').textContent()).toContain(reason);
    const tips = (await marksOf(figure(page, 'dots-workload'))).map(({ tip }) => tip);
    for (const name of files.slice(0, 4))
      expect(
        tips.some((tip) => tip.includes(name)),
        name,
      ).toBe(true);
    expect(await textTroubles(page)).toEqual([]);
    const csv = await downloaded(page, page.getByRole('button', { name: 'CSV of all' }));
    expect(csv.content.toString('utf8')).toBe(await exportSweep(sweep, 'csv'));
    await done();
  });

  it('of one cell has figures', async () => {
    const plan = await planned(at('one'), `${BASE}workload: uniform\nvary: {seed: [7]}\n`);
    makeUp(at('one'), plan, madeUp);
    writeFileSync(at('one.html'), await reportPage(sweepReport(at('one')), 'one'));
    const { page, done } = await opened(at('one.html'));
    expect(await page.locator('.drawing > svg').count()).toBeGreaterThanOrEqual(3);
    expect(await page.locator('.nothing').count()).toBe(0);
    expect(await page.locator('#cells tbody tr').count()).toBe(1);
    expect(await textTroubles(page)).toEqual([]);
    await done();
  });

  it('of 5,000 cells is quick to filter, and shows them all', async () => {
    const sizes = '{from: 16, to: 8192, times: 2}';
    const plan = await planned(
      at('many'),
      `${BASE}workload: uniform\nvary:\n  machine.stlb[0].entries: ${sizes}\n  machine.stlb[0].ways: [1, 2, 4, 8, 16]\n  seed: {from: 1, to: 100, step: 1}\n`,
    );
    expect(plan.cells).toHaveLength(5000);
    makeUp(at('many'), plan, madeUp);
    writeFileSync(at('many.html'), await reportPage(sweepReport(at('many')), 'many'));
    const { page, done } = await opened(at('many.html'));
    expect(await page.locator('.counted').textContent()).toBe('5,000 rows, the first 50 shown');
    // 10 sizes × 5 associativities, each the mean of 100 seeds.
    const marks = await marksOf(figure(page, 'heat-stlb-entries-stlb-ways'));
    expect(marks).toHaveLength(50);
    const mean = (from: number): number =>
      plan.cells
        .slice(from, from + 100)
        .reduce((sum, cell) => sum + madeUp(cell).counters.stlbMisses / 1000, 0) / 100;
    const first = marks.find(({ tip }) => tip.startsWith('STLB entries: 16\nSTLB ways: 1\n'))!;
    expect(Number(/miss ratio: ([\d.]+) %/.exec(first.tip)![1])).toBeCloseTo(mean(0), 1);
    expect(first.tip).toContain('mean of 100 cells');
    await page.getByRole('searchbox').fill('ways=16 seed=42');
    expect(await page.locator('#cells tbody tr').count()).toBe(10);
    expect(await textTroubles(page)).toEqual([]);
    await done();
  }, 120_000);

  it('of a scenario and of published results has its figures', async () => {
    const platforms = ['native', 'nested', 'shadow'].map((platform, index) => ({
      platform,
      counters: { accesses: 1e6, stlbMisses: 1000 },
      ledger: { events: {} },
      cycles: {
        base: 1e6,
        guestWalk: 2e5,
        nestedWalk: 3e5 * Number(index === 1),
        exits: { tableWriteExits: 4e6 * Number(index === 2) },
        total: 1.2e6 + [0, 3e5, 4e6][index],
      },
      exits: { tableWriteExits: 1000 * Number(index === 2), nestedViolations: 8 * Number(index === 1) },
      tableBytes: { guest: 65_536, nested: 8192 * Number(index === 1), shadow: 65_536 * Number(index === 2) },
    }));
    const claims = Array.from({ length: 40 }, (_, index) => ({
      id: `C${index}`,
      title: 'a claim',
      verdict: index % 3 === 0 ? 'differs' : 'reproduced',
      paper: '2',
      ours: `${2 + index / 20}`,
      readings: [
        {
          name: 'it',
          paper: '2',
          ours: 2 + index / 20,
          unit: '×',
          gate: { from: 1.5, to: 3 },
          holds: index % 3 !== 0,
        },
      ],
    }));
    const values = {
      scenario: { kind: 'scenario', name: 'made up', platforms },
      claims: { kind: 'reproduce', claims },
    };
    for (const [name, value] of Object.entries(values)) {
      writeFileSync(at(`${name}.json`), JSON.stringify(value));
      writeFileSync(at(`${name}.html`), await reportPage(await readReport(at(`${name}.json`)), name));
      const { page, done } = await opened(at(`${name}.html`));
      expect(await page.locator('.drawing > svg').count()).toBe(name === 'claims' ? 1 : 4);
      if (name === 'claims') {
        const marks = await marksOf(figure(page, 'claims'));
        expect(marks).toHaveLength(40);
        // The axis is logarithmic: equal ratios are equal steps.
        const place = (ratio: number): number => marks[Math.round(40 * (ratio - 1))].x;
        expect(place(1.5) - place(1)).toBeCloseTo(
          ((place(1.75) - place(1)) * Math.log(1.5)) / Math.log(1.75),
          0,
        );
      }
      expect(await textTroubles(page)).toEqual([]);
      await done();
    }
  });
});
