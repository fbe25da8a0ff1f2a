# Writes a C file that holds files as arrays (embedded.h):
#   cmake -DOUT=embedded.c "-DFILES=a;b" -DROOT=DIR -P embed.cmake
# A file's path in the program is the one below ROOT; its tag is a hash of its bytes.
set(types
  html "text/html\; charset=utf-8" css "text/css\; charset=utf-8"
  js "text/javascript\; charset=utf-8" json "application/json" svg "image/svg+xml"
  png "image/png" ico "image/x-icon" webmanifest "application/manifest+json"
  txt "text/plain\; charset=utf-8" woff2 "font/woff2")

file(WRITE ${OUT}.aside "/* Made by the build from searchd/page and openapi.json. */\n#include \"searchd/embedded.h\"\n\n")
set(table "")
set(n 0)
foreach(file ${FILES})
  file(RELATIVE_PATH path ${ROOT} ${file})
  string(REGEX REPLACE "^page/" "" path ${path})
  string(REGEX MATCH "[^.]*$" extension ${path})
  list(FIND types "${extension}" at)
  set(type "application/octet-stream")
  if(NOT at EQUAL -1)
    math(EXPR at "${at} + 1")
    list(GET types ${at} type)
  endif()
  file(READ ${file} hex HEX)
  file(SHA256 ${file} hash)
  string(SUBSTRING ${hash} 0 24 hash)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  string(LENGTH "${hex}" digits)
  math(EXPR len "${digits} / 2")
  file(APPEND ${OUT}.aside "static const unsigned char file_${n}[] = {${bytes}0};\n")
  string(APPEND table "    {\"/${path}\", \"${type}\", \"\\\"${hash}\\\"\", file_${n}, ${len}},\n")
  math(EXPR n "${n} + 1")
endforeach()
file(APPEND ${OUT}.aside "\nconst struct embedded_file embedded_files[] = {\n${table}};\nconst size_t n_embedded_files = ${n};\n")
file(RENAME ${OUT}.aside ${OUT})
