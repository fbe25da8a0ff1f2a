/* osprey-decode: decodes pictures for core/image/decoder.h, in a sandbox. Not for
 * people: it is started with descriptors that only that side makes. */
#include "decode/serve.h"

int main(void)
{
    return serve(NULL);
}
