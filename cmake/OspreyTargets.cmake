# Warnings, sanitizers and the include rule, the same for every folder.

function(osprey_flags target)
  target_compile_definitions(${target} PRIVATE _GNU_SOURCE OSPREY_VERSION="${PROJECT_VERSION}")
  target_compile_options(${target} PRIVATE
    -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes -Wmissing-prototypes
    -Wvla -Wformat=2 -Wno-format-truncation -Wno-format-nonliteral -Wno-maybe-uninitialized
    $<$<BOOL:${OSPREY_WERROR}>:-Werror>
    -include ${CMAKE_SOURCE_DIR}/core/base/banned.h)
  if(OSPREY_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${OSPREY_SANITIZE} -fno-omit-frame-pointer
      -fno-sanitize-recover=all)
    target_link_options(${target} PUBLIC -fsanitize=${OSPREY_SANITIZE})
  endif()
  if(OSPREY_FUZZ)
    target_compile_options(${target} PRIVATE -fsanitize=fuzzer-no-link)
  endif()
endfunction()

# One static library from the .c files of a folder and its subfolders, without the
# kernels of another kind of processor.
function(osprey_library name)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.c)
  list(FILTER sources EXCLUDE REGEX "/main\\.c$")
  if(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|amd64")
    list(FILTER sources EXCLUDE REGEX "_avx[^/]*\\.c$")
  endif()
  if(OSPREY_EXEMPI)
    list(FILTER sources EXCLUDE REGEX "/meta/xmp_without\\.c$")
  else()
    list(FILTER sources EXCLUDE REGEX "/meta/xmp\\.c$")
  endif()
  add_library(osprey_${name} STATIC ${sources})
  osprey_flags(osprey_${name})
endfunction()
