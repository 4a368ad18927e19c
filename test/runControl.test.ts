import { describe, expect, it } from 'vitest';
import { withListener } from '../src/run/control.ts';
import { simulate } from '../src/run/simulate.ts';

describe('a listener that throws', () => {
  const broken = (): never => {
    throw new Error('the caller has a bug');
  };

  it('stops the work, is not called again, and is the outcome', async () => {
    let calls = 0;
    let stopped = false;
    const work = withListener<number, string>(
      () => {
        calls++;
        broken();
      },
      undefined,
      async (tell, signal) => {
        tell!(1);
        tell!(2);
        stopped = signal!.aborted;
        throw new Error('stopped');
      },
    );
    await expect(work).rejects.toThrow('the caller has a bug');
    expect({ calls, stopped }).toEqual({ calls: 1, stopped: true });
  });

  it('makes a run reject, from a timer and at the end alike', async () => {
    const config = { workload: 'uniform', footprint: '1MiB', machine: 'tiny', seed: 1 };
    await expect(simulate({ ...config, accesses: 1e3 }, { onProgress: broken })).rejects.toThrow('has a bug');
    const long = simulate({ ...config, accesses: 1e12, run: { engine: 'ts' } }, { onProgress: broken });
    await expect(long).rejects.toThrow('has a bug');
  });

  it('leaves the caller’s own signal at work, and the value alone where nothing is thrown', async () => {
    const own = new AbortController();
    const seen: number[] = [];
    const value = await withListener<number, boolean>(
      (event) => seen.push(event),
      own.signal,
      async (tell, signal) => {
        tell!(7);
        own.abort();
        return signal!.aborted;
      },
    );
    expect(value).toBe(true);
    expect(seen).toEqual([7]);
  });
});
