#define NESTWALK_TIER avx512
#define NESTWALK_FACTORY make_machine_avx512
#define NESTWALK_WORKLOAD_FACTORY make_workload_avx512
#define NESTWALK_STACK_FACTORY make_stack_avx512
#include "tier.h"
