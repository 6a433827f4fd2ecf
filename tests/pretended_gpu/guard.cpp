// Makes a CPU build of torch believe in one CUDA device: the guard that switches devices and streams, and the hooks
// that say that CUDA is there. Loaded before torch (LD_PRELOAD), because torch looks for the hooks once.
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

namespace {
using c10::Device, c10::DeviceIndex, c10::DeviceType, c10::Stream;

const Device FIRST(DeviceType::CUDA, 0);

struct Guard : c10::impl::NoOpDeviceGuardImpl<DeviceType::CUDA> {
  Device exchangeDevice(Device) const override { return FIRST; }
  Device getDevice() const override { return FIRST; }
  Stream getStream(Device) const noexcept override { return Stream(Stream::DEFAULT, FIRST); }
  Stream getNewStream(Device, int) const override { return Stream(Stream::DEFAULT, FIRST); }
  Stream exchangeStream(Stream) const noexcept override { return Stream(Stream::DEFAULT, FIRST); }
};
Guard guard;
}  // namespace

namespace at {
struct CUDAHooks : CUDAHooksInterface {
  CUDAHooks(CUDAHooksArgs) {}
  void init() const override {}
  bool hasCUDA() const override { return true; }
  bool hasPrimaryContext(DeviceIndex) const override { return true; }
  int getNumGPUs() const override { return 0; }
  DeviceIndex deviceCount() const override { return 1; }
  DeviceIndex getCurrentDevice() const override { return 0; }
  void setCurrentDevice(DeviceIndex) const override {}
  DeviceIndex exchangeDevice(DeviceIndex) const override { return 0; }
  DeviceIndex maybeExchangeDevice(DeviceIndex) const override { return 0; }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
};
REGISTER_CUDA_HOOKS(CUDAHooks);
}  // namespace at

// Returns whether torch believes it.
extern "C" int install_guard() {
  c10::impl::device_guard_impl_registry[static_cast<size_t>(DeviceType::CUDA)].store(&guard);
  return at::detail::getCUDAHooks().hasCUDA();
}
