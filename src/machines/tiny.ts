/** A machine for teaching. */
import { cache, fullTlb, geometry, type MachinePreset, tlb } from './preset.ts';

const CHOSEN = 'assumed: chosen for teaching, after no processor';
const psc = () => ({ l2: geometry(4, 4), l3: geometry(2, 2), l4: geometry(1, 1), latency: 1 });

/** Few entries everywhere, so that each access can be followed. */
export const TINY: MachinePreset = {
  name: 'tiny',
  title: 'A machine small enough to follow by hand',
  machine: {
    l1d: [tlb(4, 2, '4KiB'), fullTlb(2, '2MiB'), fullTlb(1, '1GiB')],
    l1i: null,
    stlb: [tlb(16, 4, '4KiB', '2MiB')],
    psc: psc(),
    nestedPsc: psc(),
    ntlb: { ...geometry(4, 4), holds: 'all', latency: 1 },
    pwc: null,
    caches: [cache('L1', 2, 2, 4)],
    memoryLatency: 200,
    stlbLatency: 7,
    dataThroughCaches: false,
    nestedAD: true,
    tagged: ['vpid', 'pcid'],
  },
  sources: {
    l1d: CHOSEN,
    l1i: CHOSEN,
    stlb: CHOSEN,
    psc: CHOSEN,
    nestedPsc: CHOSEN,
    ntlb: CHOSEN,
    pwc: CHOSEN,
    caches: CHOSEN,
    memoryLatency: CHOSEN,
    stlbLatency: CHOSEN,
    replacement: CHOSEN,
    nestedAD: CHOSEN,
    tagged: CHOSEN,
    dataThroughCaches: CHOSEN,
  },
  lost: [],
};
