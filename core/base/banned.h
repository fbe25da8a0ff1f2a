/* Functions that do not belong in this code; included everywhere by the build. */
#ifndef OSPREY_BASE_BANNED_H
#define OSPREY_BASE_BANNED_H

#include <stdio.h>
#include <string.h>

#pragma GCC poison strcpy strcat sprintf vsprintf strtok gets strncpy strncat

#endif
