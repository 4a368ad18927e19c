/**
 * A scenario of one's own: a cache that keeps its objects in memory, and takes a snapshot of itself now and then, as
 * Redis does: it forks, the child reads everything and writes it to disk, the parent goes on serving, and each page that
 * it writes meanwhile is copied.
 *
 *     nestwalk scenario examples/myScenario.mjs --snapshots 3
 *     nestwalk scenario examples/myScenario.mjs --vary objects=8MiB,32MiB,128MiB
 *
 * @type {import('nestwalk').Scenario}
 */
export default {
  name: 'snapshot',
  title: 'a cache forks to take snapshots of itself while it goes on serving',
  operation: 'snapshot',
  parameters: {
    objects: { kind: 'bytes', about: 'memory of the cache', default: 16 * 2 ** 20 },
    snapshots: { kind: 'count', about: 'how often', unit: 'snapshots', default: 2, min: 1 },
    requests: { kind: 'count', about: 'accesses while a snapshot is taken', unit: 'accesses', default: 20_000 },
    writes: { kind: 'number', about: 'share of writes among them', default: 0.1, min: 0, max: 1 },
  },

  // What it needs: the same on every platform.
  setup: ({ objects }) => ({ memoryBytes: 3 * objects }),

  // What it does. `host.guest` is a virtual machine (natively: the machine), `kernel` the kernel in it.
  run(host, { objects, snapshots, requests, writes }) {
    const { guest } = host;
    const { kernel } = guest;
    const cache = kernel.createProcess({ name: 'cache', regions: [{ bytes: objects }] });
    const [memory] = cache.regions;
    kernel.switchTo(0, cache);
    guest.touch(cache, memory, { access: 'write' });
    const clients = guest.stream(cache, memory, { pattern: 'zipf', theta: 0.99, writeFraction: writes });

    host.measure();
    for (let done = 0; done < snapshots; done++) {
      const child = kernel.fork(cache, { name: 'snapshot' });
      guest.run(clients, requests);
      kernel.switchTo(0, child);
      guest.touch(child, memory);
      kernel.exit(child);
      kernel.switchTo(0, cache);
      host.operations();
      host.progress(done + 1, snapshots);
    }
  },
};
