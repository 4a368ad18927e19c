#define NESTWALK_TIER base
#define NESTWALK_FACTORY make_machine_base
#define NESTWALK_WORKLOAD_FACTORY make_workload_base
#define NESTWALK_STACK_FACTORY make_stack_base
#include "tier.h"
