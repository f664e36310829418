# What the compiler and the linker add against programming errors, for every target of this folder, nanobind's own among
# them: canaries and probes of the stack, zeroed variables, checked indices of the standard library's containers, checked
# sizes of the copies that the C library makes, targets of jumps, and tables of addresses that can't be written.
# tests/engine/native/test_hardening.py looks for them in the module.
include(CheckCXXCompilerFlag)

# Adds a flag where the compiler has it. LLMOS_HAS_… says whether it does.
function(llmos_harden flag)
  string(MAKE_C_IDENTIFIER "LLMOS_HAS${flag}" known)
  set(CMAKE_REQUIRED_FLAGS -Werror)  # clang only warns of a flag that it has for other CPUs
  check_cxx_compiler_flag(${flag} ${known})
  if(${known})
    add_compile_options(${flag})
  endif()
endfunction()

# Takes back what costs time in the loops of these files: everything that they keep in registers would be zeroed first.
# The other flags cost them nothing, since none of them is within a loop.
function(llmos_harden_kernels)
  if(LLMOS_HAS_ftrivial_auto_var_init_zero)
    set_property(SOURCE ${ARGN} APPEND PROPERTY COMPILE_OPTIONS -ftrivial-auto-var-init=uninitialized)
  endif()
endfunction()

llmos_harden(-fstack-protector-strong)
llmos_harden(-fstack-clash-protection)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  llmos_harden(-fcf-protection=full)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
  llmos_harden(-mbranch-protection=standard)
endif()
add_compile_definitions(_GLIBCXX_ASSERTIONS)
if(NOT LLMOS_SANITIZE)  # from which these would hide errors
  llmos_harden(-ftrivial-auto-var-init=zero)  # GCC 12, clang 16
  # Without optimization, it would only warn that it does nothing.
  add_compile_options("$<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE;-D_FORTIFY_SOURCE=3>")
endif()

if(NOT APPLE)
  add_link_options(LINKER:-z,relro LINKER:-z,now LINKER:-z,noexecstack)
endif()
