/* What the reader and the writer of safetensors files share, and nobody else. */
#ifndef OSPREY_MODEL_SAFETENSORS_FORMAT_H
#define OSPREY_MODEL_SAFETENSORS_FORMAT_H

#define ST_METADATA   "__metadata__"
#define ST_MAX_HEADER 100000000 /* bytes; the reference's own ceiling */

/* Tensors of bytes that the writer puts between others so that each starts at a
 * multiple of 64 bytes; the format itself has no room for gaps. */
#define ST_PADDING "__padding__."

#endif
