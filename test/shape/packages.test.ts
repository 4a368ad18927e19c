/** package.json and its lock: exact versions, and a lock that `npm ci` accepts on every platform. */
import { describe, expect, it } from 'vitest';
import { text } from './files.ts';

interface Entry {
  version?: string;
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
}

const manifest = JSON.parse(text('package.json')) as Entry;
const { packages } = JSON.parse(text('package-lock.json')) as { packages: Record<string, Entry> };

/** Whether the lock has a package where Node would look for it from another package's folder. */
function resolves(from: string, name: string): boolean {
  for (let folder = from; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf('/node_modules/')))) {
    if (`${folder === '' ? '' : `${folder}/`}node_modules/${name}` in packages) return true;
    if (folder === '') return false;
  }
}

describe('package.json', () => {
  const wanted = { ...manifest.dependencies, ...manifest.devDependencies };

  it('names exact versions', () => {
    expect(
      Object.entries(wanted).filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version)),
    ).toEqual([]);
  });

  it('is what the lock was made from', () => {
    expect(packages[''].dependencies).toEqual(manifest.dependencies);
    expect(packages[''].devDependencies).toEqual(manifest.devDependencies);
    for (const [name, version] of Object.entries(wanted))
      expect(packages[`node_modules/${name}`].version, name).toBe(version);
  });
});

describe('package-lock.json', () => {
  it('has an entry for every optional dependency, also of other platforms: npm ci refuses a lock without', () => {
    const missing = Object.entries(packages).flatMap(([from, entry]) =>
      Object.keys(entry.optionalDependencies ?? {}).filter((name) => !resolves(from, name)),
    );
    expect(missing).toEqual([]);
  });
});
