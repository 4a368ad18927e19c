/** Words: the glossary's and no synonyms, nothing of a developer's machine, links that lead somewhere. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { linesMatching, ROOT, text, textFiles } from './files.ts';

const everything = textFiles().filter((name) => name !== 'test/shape/words.test.ts');
const code = everything.filter((name) => /^(src|native)\//.test(name));

describe('the glossary', () => {
  it.each([
    ['fill', /(?<!\.)\binsert(s|ed|ing|ion)?\b|[a-z]Insert|\binsert[A-Z]/],
    ['evict, victim', /\breplace(s|d)? the (entry|victim|line)/],
    ['nestedTlb', /\b(spTlb|spTLB|nTlb|hostTlb)\b/],
    ['acronyms in identifiers as words', /\b[a-z]+(GVA|GPA|HPA|TLB|PSC|PWC)(?![A-Z])\b(?<!\bnTLB)(?<!\bgPA)/],
    ['ref', /\bmemRef(s)?\b|\bmemoryReference/],
    [
      'British spelling',
      /\b(virtuali|initiali|optimi|reali|organi|minimi|maximi|randomi)z(e|ed|es|ing|ation)\b|behavior|neighbor/i,
    ],
  ])('says %s', (_, banned) => {
    expect(linesMatching(code, banned)).toEqual([]);
  });
});

describe('nothing of a machine', () => {
  it('is named: no absolute paths of somebody’s folders', () => {
    expect(linesMatching(everything, /(?<![\w.$}])\/(tmp|home|root|Users)\//)).toEqual([]);
  });

  it('is left unfinished', () => {
    expect(linesMatching(everything, /\b(TODO|FIXME|XXX)\b/)).toEqual([]);
  });
});

describe('the engine and the terminal', () => {
  it('have one door each: only the loader names the addon', () => {
    const naming = linesMatching(textFiles('src'), /node-gyp-build|nestwalk\.node|build\/Release|prebuilds/);
    expect(naming.length).toBeGreaterThan(0);
    expect(naming.filter((line) => !line.startsWith('src/engine/loader.ts:'))).toEqual([]);
  });

  it('have one door each: nothing below cli prints or ends the process', () => {
    const below = textFiles('src').filter((name) => !name.startsWith('src/cli/'));
    expect(linesMatching(below, /\bconsole\.|process\.(stdout|stderr|exit)\b/)).toEqual([]);
  });
});

describe('documents', () => {
  const pages = everything.filter((name) => name.endsWith('.md'));

  it('link to files that exist', () => {
    const broken = pages.flatMap((page) =>
      [...text(page).matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)/g)]
        .map(([, target]) => path.posix.join(path.posix.dirname(page), target))
        .filter((target) => !existsSync(path.join(ROOT, target)))
        .map((target) => `${page} → ${target}`),
    );
    expect(broken).toEqual([]);
  });

  it('name npm scripts that exist', () => {
    const { scripts } = JSON.parse(text('package.json')) as { scripts: Record<string, string> };
    const named = pages.flatMap((page) =>
      [...text(page).matchAll(/\bnpm run ([a-z][\w:-]*)/g)].map(([, script]) => `${page}: ${script}`),
    );
    expect(named.filter((line) => !(line.split(': ')[1] in scripts))).toEqual([]);
  });
});
