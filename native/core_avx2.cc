#define NESTWALK_TIER avx2
#define NESTWALK_FACTORY make_machine_avx2
#define NESTWALK_WORKLOAD_FACTORY make_workload_avx2
#define NESTWALK_STACK_FACTORY make_stack_avx2
#include "tier.h"
