// The Node-API door: typed-array views in, numbers out. No policy lives here, and nothing else knows of Node. The
// caller is src/engine, which has validated every block; what is checked again is only what would let a bad call touch
// foreign memory.
#include <napi.h>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "machine.h"
#include "schema.h"

namespace {

using nestwalk::Machine;
using nestwalk::MachineFactory;
using nestwalk::Stack;
using nestwalk::StackCell;
using nestwalk::StackFactory;
using nestwalk::Workload;
using nestwalk::WorkloadFactory;
using nestwalk::WorkloadView;
namespace schema = nestwalk::schema;

struct Tier {
  const char* name;
  MachineFactory make;
  WorkloadFactory make_workload;
  StackFactory make_stack;
  bool supported;
};

// Instruction-set tiers, the plainest first.
std::vector<Tier> list_tiers() {
  std::vector<Tier> tiers{
      {"base", nestwalk::make_machine_base, nestwalk::make_workload_base, nestwalk::make_stack_base, true}};
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  tiers.push_back({"avx2", nestwalk::make_machine_avx2, nestwalk::make_workload_avx2, nestwalk::make_stack_avx2, avx2});
  tiers.push_back(
      {"avx512", nestwalk::make_machine_avx512, nestwalk::make_workload_avx512, nestwalk::make_stack_avx512, avx512});
#endif
  return tiers;
}

// The tier of a name that this processor has, or null.
const Tier* find_tier(const std::string& name) {
  static const std::vector<Tier> tiers = list_tiers();
  for (const Tier& tier : tiers) {
    if (name == tier.name && tier.supported) return &tier;
  }
  return nullptr;
}

Napi::Value fail(Napi::Env env, const char* message) {
  Napi::TypeError::New(env, message).ThrowAsJavaScriptException();
  return env.Undefined();
}

template <class Array>
bool is_array(const Napi::Value& value, napi_typedarray_type type, std::size_t least) {
  return value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == type &&
         value.As<Array>().ElementLength() >= least;
}

bool is_doubles(const Napi::Value& value, std::size_t least) {
  return is_array<Napi::Float64Array>(value, napi_float64_array, least);
}

// Asks for huge pages behind simulated memory, before it is first touched: the simulator's own page walks, in place of
// cache misses, would otherwise be what a large table costs. A hint; nothing depends on it.
Napi::Value advise_huge_pages(const Napi::CallbackInfo& info) {
#if defined(__linux__)
  constexpr std::size_t kHuge = std::size_t{2} << 20;
  if (info.Length() > 0 && is_array<Napi::Uint32Array>(info[0], napi_uint32_array, 0)) {
    auto memory = info[0].As<Napi::Uint32Array>();
    auto* const bytes = reinterpret_cast<std::uint8_t*>(memory.Data());
    // Whole huge pages only: the hint is refused for parts of them.
    const std::size_t before = (kHuge - reinterpret_cast<std::uintptr_t>(bytes) % kHuge) % kHuge;
    if (memory.ByteLength() > before) {
      const std::size_t length = (memory.ByteLength() - before) / kHuge * kHuge;
      if (length > 0) madvise(bytes + before, length, MADV_HUGEPAGE);
    }
  }
#endif
  return info.Env().Undefined();
}

// A workload made ready, once for all machines of a tier that draw from it in turn.
class WorkloadHandle : public Napi::ObjectWrap<WorkloadHandle> {
 public:
  static Napi::Function define(Napi::Env env) { return DefineClass(env, "Workload", {}); }

  // (tier name, workload block)
  explicit WorkloadHandle(const Napi::CallbackInfo& info) : Napi::ObjectWrap<WorkloadHandle>(info) {
    const Napi::Env env = info.Env();
    const Tier* const tier = info[0].IsString() ? find_tier(info[0].As<Napi::String>().Utf8Value()) : nullptr;
    if (tier == nullptr) {
      fail(env, "Workload: no such instruction-set tier on this processor");
      return;
    }
    WorkloadView view;
    if (!info[1].IsObject() || !read(info[1].As<Napi::Object>(), view)) {
      fail(env, "Workload: malformed workload block");
      return;
    }
    workload_.reset(tier->make_workload(view));
    if (workload_ == nullptr) {
      fail(env, "Workload: out of memory");
      return;
    }
    Napi::MemoryManagement::AdjustExternalMemory(env, static_cast<std::int64_t>(workload_->bytes));
  }

  void Finalize(Napi::Env env) override {
    if (workload_ != nullptr)
      Napi::MemoryManagement::AdjustExternalMemory(env, -static_cast<std::int64_t>(workload_->bytes));
  }

  Workload* workload() { return workload_.get(); }

 private:
  bool read(const Napi::Object& block, WorkloadView& view) {
    const Napi::Value components = block.Get("components");
    const Napi::Value links = block.Get("links");
    const Napi::Value tables = block.Get("tables");
    if (!is_doubles(components, schema::kComponentSlots) || !is_doubles(links, 0) || !tables.IsArray()) return false;
    view.components = components.As<Napi::Float64Array>().Data();
    view.component_slots = components.As<Napi::Float64Array>().ElementLength();
    view.links = links.As<Napi::Float64Array>().Data();
    view.link_count = links.As<Napi::Float64Array>().ElementLength();
    const auto list = tables.As<Napi::Array>();
    for (std::uint32_t i = 0; i < list.Length(); i++) {
      const Napi::Value table = list.Get(i);
      if (!is_array<Napi::Uint32Array>(table, napi_uint32_array, 0)) return false;
      kept_.push_back(Napi::Persistent(table.As<Napi::Object>()));
      tables_.push_back(table.As<Napi::Uint32Array>().Data());
    }
    view.tables = tables_.data();
    view.table_count = tables_.size();
    view.seed_low = block.Get("seedLow").ToNumber().Uint32Value();
    view.seed_high = block.Get("seedHigh").ToNumber().Uint32Value();
    return true;
  }

  std::unique_ptr<Workload> workload_;
  // The tables, which are read while it lives.
  std::vector<Napi::ObjectReference> kept_;
  std::vector<const std::uint32_t*> tables_;
};

class Hardware : public Napi::ObjectWrap<Hardware> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "Hardware",
                       {
                           InstanceMethod<&Hardware::load_context>("loadContext"),
                           InstanceMethod<&Hardware::load_workload>("loadWorkload"),
                           InstanceMethod<&Hardware::run_synthetic>("runSynthetic"),
                           InstanceMethod<&Hardware::run_recorded>("runRecorded"),
                           InstanceMethod<&Hardware::run_short>("runShort"),
                           InstanceMethod<&Hardware::invlpg>("invlpg"),
                           InstanceMethod<&Hardware::flush_tag>("flushTag"),
                           InstanceMethod<&Hardware::invept>("invept"),
                           InstanceMethod<&Hardware::flush_all>("flushAll"),
                           InstanceMethod<&Hardware::read_counters>("readCounters"),
                           InstanceMethod<&Hardware::write_counters>("writeCounters"),
                           InstanceMethod<&Hardware::read_unique>("readUnique"),
                           InstanceMethod<&Hardware::read_reuse>("readReuse"),
                           InstanceMethod<&Hardware::save_state>("saveState"),
                           InstanceMethod<&Hardware::load_state>("loadState"),
                       });
  }

  // (tier name, machine block, memory as Uint32Array, exchange). The exchange holds the blocks of small calls, which
  // are looked at here once and not at each call: `context`, read by loadContext; `fault`, written when a run ends;
  // `pages` and `words`, read by runShort.
  explicit Hardware(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Hardware>(info) {
    const Napi::Env env = info.Env();
    if (info.Length() < 4 || !info[0].IsString() || !is_doubles(info[1], schema::kMachineSlots) ||
        !is_array<Napi::Uint32Array>(info[2], napi_uint32_array, 0) || !info[3].IsObject() ||
        !read_exchange(info[3].As<Napi::Object>())) {
      fail(env, "Hardware: wants a tier, a machine block, simulated memory and an exchange");
      return;
    }
    const Tier* const tier = find_tier(info[0].As<Napi::String>().Utf8Value());
    if (tier == nullptr) {
      fail(env, "Hardware: no such instruction-set tier on this processor");
      return;
    }
    auto memory = info[2].As<Napi::Uint32Array>();
    keep(memory);
    machine_.reset(tier->make(info[1].As<Napi::Float64Array>().Data(), reinterpret_cast<std::uint64_t*>(memory.Data()),
                              memory.ElementLength() / 2));
    if (machine_ == nullptr) {
      fail(env, "Hardware: out of memory");
      return;
    }
    // Or the collector would take a machine for the few bytes of its wrapper, and let many of them pile up.
    Napi::MemoryManagement::AdjustExternalMemory(env, static_cast<std::int64_t>(machine_->bytes));
  }

  void Finalize(Napi::Env env) override {
    if (machine_ != nullptr)
      Napi::MemoryManagement::AdjustExternalMemory(env, -static_cast<std::int64_t>(machine_->bytes));
  }

  Machine* machine() { return machine_.get(); }

 private:
  void keep(const Napi::Object& object) { kept_.push_back(Napi::Persistent(object)); }

  bool read_exchange(const Napi::Object& exchange) {
    const Napi::Value context = exchange.Get("context");
    const Napi::Value fault = exchange.Get("fault");
    const Napi::Value pages = exchange.Get("pages");
    const Napi::Value words = exchange.Get("words");
    if (!is_doubles(context, schema::kContextSlots) || !is_doubles(fault, schema::kFaultSlots) ||
        !is_doubles(pages, 0) || !is_array<Napi::Uint16Array>(words, napi_uint16_array, 0)) {
      return false;
    }
    for (const Napi::Value& block : {context, fault, pages, words}) keep(block.As<Napi::Object>());
    context_ = context.As<Napi::Float64Array>().Data();
    fault_ = fault.As<Napi::Float64Array>().Data();
    pages_ = pages.As<Napi::Float64Array>().Data();
    words_ = words.As<Napi::Uint16Array>().Data();
    const std::size_t most = words.As<Napi::Uint16Array>().ElementLength();
    const std::size_t most_pages = pages.As<Napi::Float64Array>().ElementLength();
    most_short_ = most < most_pages ? most : most_pages;
    return true;
  }

  static double number(const Napi::CallbackInfo& info, std::size_t i) {
    double value = 0;
    return napi_get_value_double(info.Env(), info[i], &value) == napi_ok ? value : 0;
  }
  static std::uint64_t integer(const Napi::CallbackInfo& info, std::size_t i) {
    const double value = number(info, i);
    return value >= 0 && value < 0x1p64 ? static_cast<std::uint64_t>(value) : 0;
  }

  void load_context(const Napi::CallbackInfo& info) {
    if (!machine_->load_context(context_)) {
      fail(info.Env(), "loadContext: a zone lies outside simulated memory, or too many tags are in use at once");
    }
  }

  // (workload, or nothing)
  void load_workload(const Napi::CallbackInfo& info) {
    Workload* workload = nullptr;
    if (info[0].IsObject()) {
      workload_ = Napi::Persistent(info[0].As<Napi::Object>());
      workload = Napi::ObjectWrap<WorkloadHandle>::Unwrap(workload_.Value())->workload();
    }
    if (!machine_->load_workload(workload)) fail(info.Env(), "loadWorkload: out of memory");
  }

  // Gives back how many accesses of a run completed, and leaves in the fault block why it ended.
  Napi::Value ended(const Napi::CallbackInfo& info, std::uint64_t completed, std::uint64_t count) {
    if (completed < count) {
      machine_->read_fault(fault_);
    } else {
      fault_[schema::kFaultDetail] = static_cast<double>(schema::RunStatus::kDone);
    }
    return Napi::Number::New(info.Env(), static_cast<double>(completed));
  }

  Napi::Value run_synthetic(const Napi::CallbackInfo& info) {
    const std::uint64_t count = integer(info, 1);
    return ended(info, machine_->run_synthetic(integer(info, 0), count), count);
  }

  // (pages, words, first, count, index of the first in the stream)
  Napi::Value run_recorded(const Napi::CallbackInfo& info) {
    const std::uint64_t first = integer(info, 2);
    const std::uint64_t count = integer(info, 3);
    if (count > 0xffffffff || first > 0xffffffff || !is_doubles(info[0], first + count) ||
        !is_array<Napi::Uint16Array>(info[1], napi_uint16_array, first + count)) {
      return fail(info.Env(), "runRecorded: wants a block of accesses that holds the range");
    }
    const std::uint64_t completed =
        machine_->run_recorded(info[0].As<Napi::Float64Array>().Data() + first,
                               info[1].As<Napi::Uint16Array>().Data() + first, count, integer(info, 4));
    return ended(info, completed, count);
  }

  // (count, index of the first in the stream) of the accesses in the exchange
  Napi::Value run_short(const Napi::CallbackInfo& info) {
    const std::uint64_t count = integer(info, 0);
    if (count > most_short_) return fail(info.Env(), "runShort: more accesses than the exchange holds");
    return ended(info, machine_->run_recorded(pages_, words_, count, integer(info, 1)), count);
  }

  void invlpg(const Napi::CallbackInfo& info) { machine_->invlpg(number(info, 0), integer(info, 1)); }
  void flush_tag(const Napi::CallbackInfo& info) { machine_->flush_tag(number(info, 0)); }
  void invept(const Napi::CallbackInfo& info) { machine_->invept(number(info, 0)); }
  void flush_all(const Napi::CallbackInfo&) { machine_->flush_all(); }

  Napi::Value read_counters(const Napi::CallbackInfo& info) {
    if (!is_doubles(info[0], schema::kCounterSlots)) return fail(info.Env(), "readCounters: wants a counter block");
    machine_->read_counters(info[0].As<Napi::Float64Array>().Data());
    return info.Env().Undefined();
  }

  Napi::Value write_counters(const Napi::CallbackInfo& info) {
    if (!is_doubles(info[0], schema::kCounterSlots)) return fail(info.Env(), "writeCounters: wants a counter block");
    machine_->write_counters(info[0].As<Napi::Float64Array>().Data());
    return info.Env().Undefined();
  }

  Napi::Value read_unique(const Napi::CallbackInfo& info) {
    auto counts = Napi::Float64Array::New(info.Env(), schema::kPositions);
    machine_->read_unique(counts.Data());
    return counts;
  }

  Napi::Value read_reuse(const Napi::CallbackInfo& info) {
    auto list = Napi::Float64Array::New(info.Env(), machine_->read_reuse(nullptr));
    machine_->read_reuse(list.Data());
    return list;
  }

  Napi::Value save_state(const Napi::CallbackInfo& info) {
    auto state = Napi::Float64Array::New(info.Env(), machine_->save_state(nullptr));
    machine_->save_state(state.Data());
    return state;
  }

  Napi::Value load_state(const Napi::CallbackInfo& info) {
    if (!is_doubles(info[0], 0)) return fail(info.Env(), "loadState: wants a saved state");
    auto state = info[0].As<Napi::Float64Array>();
    if (!machine_->load_state(state.Data(), state.ElementLength())) {
      return fail(info.Env(), "loadState: the state is of another machine");
    }
    return info.Env().Undefined();
  }

  std::unique_ptr<Machine> machine_;
  // What the machine reads while it lives.
  std::vector<Napi::ObjectReference> kept_;
  Napi::ObjectReference workload_;
  // The exchange.
  const double* context_ = nullptr;
  double* fault_ = nullptr;
  const double* pages_ = nullptr;
  const std::uint16_t* words_ = nullptr;
  std::size_t most_short_ = 0;
};

// All geometries of an STLB over the L1 misses of one machine (hardware/stack.h).
class StackHandle : public Napi::ObjectWrap<StackHandle> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "Stack", {InstanceMethod<&StackHandle::finish>("finish"), InstanceMethod<&StackHandle::misses>("misses")});
  }

  // (tier name, machine block, front Hardware, cells as pairs (entries, ways), walkers: a Hardware for each cell, or
  // none)
  explicit StackHandle(const Napi::CallbackInfo& info) : Napi::ObjectWrap<StackHandle>(info) {
    const Napi::Env env = info.Env();
    if (info.Length() < 5 || !info[0].IsString() || !is_doubles(info[1], schema::kMachineSlots) ||
        !info[2].IsObject() || !is_doubles(info[3], 2) || !info[4].IsArray()) {
      fail(env, "Stack: wants a tier, a machine block, a machine, cells and walkers");
      return;
    }
    auto shapes = info[3].As<Napi::Float64Array>();
    auto walkers = info[4].As<Napi::Array>();
    cells_.resize(shapes.ElementLength() / 2);
    if (walkers.Length() != 0 && walkers.Length() != cells_.size()) {
      fail(env, "Stack: wants a walker for each cell, or none");
      return;
    }
    Machine* first = nullptr;
    for (std::size_t i = 0; i < cells_.size(); i++) {
      cells_[i].entries = static_cast<std::uint32_t>(shapes[2 * i]);
      cells_[i].ways = static_cast<std::uint32_t>(shapes[2 * i + 1]);
      if (walkers.Length() == 0) continue;
      const Napi::Value walker = walkers.Get(static_cast<std::uint32_t>(i));
      if (!walker.IsObject()) {
        fail(env, "Stack: a walker is no machine");
        return;
      }
      cells_[i].walker = keep(walker.As<Napi::Object>());
      if (first == nullptr) {
        first = cells_[i].walker;
      } else {
        cells_[i].walker->share_scratch(*first);
      }
    }
    const Tier* const tier = find_tier(info[0].As<Napi::String>().Utf8Value());
    if (tier == nullptr) {
      fail(env, "Stack: no such instruction-set tier on this processor");
      return;
    }
    stack_.reset(tier->make_stack(info[1].As<Napi::Float64Array>().Data(), cells_.data(), cells_.size()));
    if (stack_ == nullptr) {
      fail(env, "Stack: out of memory");
      return;
    }
    front_ = keep(info[2].As<Napi::Object>());
    if (!front_->set_miss_sink(stack_.get())) fail(env, "Stack: the machine's run is not static");
  }

  // The machine in front outlives its stack only here, and must not give its misses to nobody.
  ~StackHandle() override {
    if (front_ != nullptr) front_->set_miss_sink(nullptr);
  }

 private:
  Machine* keep(const Napi::Object& hardware) {
    kept_.push_back(Napi::Persistent(hardware));
    return Napi::ObjectWrap<Hardware>::Unwrap(hardware)->machine();
  }

  Napi::Value finish(const Napi::CallbackInfo& info) { return Napi::Boolean::New(info.Env(), stack_->finish()); }

  Napi::Value misses(const Napi::CallbackInfo& info) {
    auto list = Napi::Float64Array::New(info.Env(), cells_.size());
    for (std::size_t i = 0; i < cells_.size(); i++) list[i] = static_cast<double>(stack_->misses(i));
    return list;
  }

  Machine* front_ = nullptr;
  std::unique_ptr<Stack> stack_;
  std::vector<StackCell> cells_;
  std::vector<Napi::ObjectReference> kept_;
};

Napi::Object init(Napi::Env env, Napi::Object exports) {
  auto tiers = Napi::Array::New(env);
  std::uint32_t count = 0;
  const char* best = "base";
  for (const Tier& tier : list_tiers()) {
    if (!tier.supported) continue;
    tiers.Set(count++, Napi::String::New(env, tier.name));
    best = tier.name;
  }
  exports.Set("fingerprint", Napi::String::New(env, schema::kFingerprint));
  exports.Set("tiers", tiers);
  exports.Set("tier", Napi::String::New(env, best));
  exports.Set("adviseHugePages", Napi::Function::New(env, advise_huge_pages, "adviseHugePages"));
  exports.Set("Hardware", Hardware::define(env));
  exports.Set("Workload", WorkloadHandle::define(env));
  exports.Set("Stack", StackHandle::define(env));
  return exports;
}

}  // namespace

NODE_API_MODULE(nestwalk, init)
