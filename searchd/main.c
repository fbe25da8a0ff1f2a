/* osprey-searchd: will answer searches over HTTP; until it can, it says so. */
#include <stdio.h>

int main(void)
{
    fputs("osprey-searchd: answering over HTTP is not in this version yet\n", stderr);
    return 3;
}
