# Debian's cross compiler for aarch64, over a folder with that architecture's
# libraries (OSPREY_SYSROOT; tools/setup/test_arm64.sh makes one). What is built runs
# here through qemu.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES OSPREY_SYSROOT)

set(CMAKE_SYSROOT ${OSPREY_SYSROOT})
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${OSPREY_SYSROOT})
set(ENV{PKG_CONFIG_LIBDIR}
  ${OSPREY_SYSROOT}/usr/lib/aarch64-linux-gnu/pkgconfig:${OSPREY_SYSROOT}/usr/share/pkgconfig)

set(CMAKE_CROSSCOMPILING_EMULATOR "qemu-aarch64;-L;${OSPREY_SYSROOT}")
