/**
 * The documents of test/walks, run: each states a configuration, accesses and, worked out by hand from the layout rules,
 * every reference in order with the addresses of its entries. The twin writes the log through its probe; the other engines
 * must count as many references at each position. A mismatch is reported as file:line. Format: test/support/walkDocs.ts.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { ENGINES } from './support/engines.ts';
import { firstDifference, logOf, parseDocument, positionsIn, positionsOf } from './support/walkDocs.ts';

const FOLDER = fileURLToPath(new URL('walks', import.meta.url));
const FILES = readdirSync(FOLDER).filter((name) => name.endsWith('.md'));

it('there are documents', () => {
  expect(FILES.length).toBeGreaterThan(5);
});

describe.each(FILES)('test/walks/%s', (name) => {
  const file = `test/walks/${name}`;
  const sections = parseDocument(file, readFileSync(path.join(FOLDER, name), 'utf8'));

  it.each(sections.map((section) => [section.title, section] as const))('%s', (_, section) => {
    const difference = firstDifference(file, section, logOf(section));
    if (difference) throw new Error(difference);
    const expected = positionsIn(section.log.map(({ text }) => text));
    for (const engine of ENGINES) expect(positionsOf(section, engine), engine.name).toEqual(expected);
  });
});

describe('the reader of documents', () => {
  const document = (log: string): string =>
    [
      '# A walk',
      '',
      '## One',
      '```yaml',
      'machine: {}',
      'paging: {mode: native}',
      'regions: [{bytes: 4096}]',
      '```',
      '```accesses',
      'R 0x10000000000',
      '```',
      '```log',
      ...log.split('\n'),
      '```',
    ].join('\n');
  const walk =
    'R 0x10000000000\npt L4 4 0x40000010\npt L3 3 0x40001000\npt L2 2 0x40002000\npt L1 1 0x40003000\ndone';
  const difference = (log: string): string | undefined => {
    const [section] = parseDocument('a.md', document(log));
    return firstDifference('a.md', section, logOf(section));
  };

  it('is content with a log that is right, whatever its spaces and remarks', () => {
    expect(difference(walk)).toBeUndefined();
    expect(difference(`  # a remark\n\n${walk.replace('L4 4', 'L4   4')}`)).toBeUndefined();
  });

  it('names file and line of the first that is not', () => {
    expect(difference(walk.replace('0x40001000', '0x40001008'))).toBe(
      'a.md:15: expected "pt L3 3 0x40001008", got "pt L3 3 0x40001000"',
    );
    expect(difference(walk.replace('\ndone', ''))).toBe('a.md:18: expected the end of the log, got "done"');
    expect(difference(`${walk}\ndone`)).toBe('a.md:19: expected "done", got nothing more');
  });

  it('refuses a document that could not fail', () => {
    expect(() => parseDocument('a.md', '# A walk\n')).toThrow('a.md:1: the document has no section');
    expect(() => parseDocument('a.md', document(''))).toThrow('a.md:3: a section needs accesses and a log');
    expect(() => parseDocument('a.md', document(walk).replace('```log', '```logs'))).toThrow(
      /a\.md:12: .*"logs"/,
    );
    expect(() => parseDocument('a.md', `${document(walk)}\n\`\`\`log\n`)).toThrow(/a\.md:\d+: /);
  });
});
