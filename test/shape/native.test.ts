/** The C++ core beside its twin: generated header, pairs of files, who may know Node, and that the build is of these sources. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { BUILT, builtFromHere } from '../../scripts/install.mjs';
import { HEADER_PATH, header, staleLine } from '../../scripts/schema.ts';
import { linesMatching, ROOT, text, textFiles } from './files.ts';

describe('native/schema.h', () => {
  it('is what src/schema.ts says (else: npm run schema)', () => {
    const committed = text(path.relative(ROOT, HEADER_PATH));
    expect(staleLine(committed, header())).toBeUndefined();
  });

  it('would be called stale at the first line that differs', () => {
    expect(staleLine('a\nb\n', 'a\nc\n')).toEqual({ line: 2, text: 'c' });
    expect(staleLine('a\nb\n', 'a\n')).toEqual({ line: 2, text: '' });
    expect(staleLine('a\n', 'a\n')).toBeUndefined();
  });
});

describe('twins', () => {
  /** Files that stand alone, each with the reason. */
  const ALONE: Record<string, string> = {
    'native/hardware/buffer.h': 'aligned memory, lists, a map; JavaScript has typed arrays and maps',
    'native/hardware/leafTables.h': 'where a lull finds leaf entries',
    'native/hardware/lruSets.h':
      'layouts of lru sets for vector instructions; the twin has the plain one in setAssoc.ts',
    'native/hardware/lull.h': 'the static way for a stretch of any run; the twin takes accesses one by one',
    'native/hardware/owners.h': 'numbers for tags; the twin keeps a tag beside each key',
    'native/hardware/passArray.h':
      'lru arrays of static runs, without payloads; the twin has setAssoc.ts for all runs',
    'native/hardware/staticWalk.h':
      'walks of static runs, cache by cache over a batch; the twin has the walker of dimension.ts for all runs',
  };

  const names = (folder: string, extension: string) =>
    textFiles(folder)
      .filter((file) => file.endsWith(extension))
      .map((file) => path.posix.relative(folder, file).slice(0, -extension.length));

  it('come in pairs: native/hardware/NAME.h and src/hardware/NAME.ts', () => {
    const [cpp, ts] = [names('native/hardware', '.h'), names('src/hardware', '.ts')];
    expect(cpp.length).toBeGreaterThan(0);
    const unpaired = [
      ...cpp.filter((name) => !ts.includes(name)).map((name) => `native/hardware/${name}.h`),
      ...ts.filter((name) => !cpp.includes(name)).map((name) => `src/hardware/${name}.ts`),
    ];
    expect(unpaired.sort()).toEqual(Object.keys(ALONE).sort());
  });
});

describe('Node', () => {
  it("is known to native/addon.cc alone: no other file includes Node's headers", () => {
    const including = linesMatching(textFiles('native'), /#\s*include\s*[<"](napi|node|js_native_api|v8|uv)/);
    expect(including.length).toBeGreaterThan(0);
    expect(including.filter((line) => !line.startsWith('native/addon.cc:'))).toEqual([]);
  });
});

describe.skipIf(!existsSync(BUILT))('the addon that was built here', () => {
  it('was built from these sources (else: npm run build:native)', () => {
    expect(builtFromHere(BUILT)).toBe(true);
  });
});
