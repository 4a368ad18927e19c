/** What the shape tests look at: the repository's own text files. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** Folder of the repository. */
export const ROOT = path.resolve(fileURLToPath(new URL('../..', import.meta.url)));

const NOT_OURS = new Set(['node_modules', 'build', 'dist', 'prebuilds', 'coverage', '.git']);
const TEXT = /(\.(ts|mjs|js|cc|h|md|json|gyp|yaml|yml|txt|sh)|\/run|\/\.[a-z-]+)$/;

/** Paths, from the repository's root and with `/`, of all text files below a folder. */
export function textFiles(folder = '.'): string[] {
  const found: string[] = [];
  for (const entry of readdirSync(path.join(ROOT, folder), { withFileTypes: true })) {
    const name = path.posix.join(folder, entry.name);
    if (entry.isDirectory() && !NOT_OURS.has(entry.name)) found.push(...textFiles(name));
    if (entry.isFile() && TEXT.test(`/${name}`) && name !== 'package-lock.json') found.push(name);
  }
  return found.sort();
}

/** Text of a file of the repository. */
export const text = (name: string): string => readFileSync(path.join(ROOT, name), 'utf8');

/** `file:line: text` of every line of the files that a pattern matches. */
export function linesMatching(files: readonly string[], pattern: RegExp): string[] {
  return files.flatMap((name) =>
    text(name)
      .split('\n')
      .flatMap((line, index) => (pattern.test(line) ? [`${name}:${index + 1}: ${line.trim()}`] : [])),
  );
}
