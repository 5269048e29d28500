/* A stand-in for Metal and the Objective-C runtime, with two GPUs, of which the second shares the host's memory.
 *
 *   STAND_IN_SABOTAGE "last": a fill gets the last byte wrong; "status": commands fail; "memory": there is none;
 *                     "none": there is no GPU
 *   STAND_IN_CALLS    a file, see stand_in.h: each message, and at the end how many objects and pools are left
 *
 * Every method is objc_msgSend itself, so that it gets its arguments where the method's own types put them.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stand_in.h"

typedef uintptr_t Word;

static const char array[] = "devices", queue[] = "queue", commands[] = "commands", encoder[] = "encoder", failure[] = "failure";
static const char *cards[] = {"Stand-in Radeon", "Stand-in M2"};
typedef struct { size_t size; unsigned char content[]; } Buffer;
static int objects, pools, committed;

const char *sel_registerName(const char *name) { return strdup(name); }
void *objc_autoreleasePoolPush(void) { pools++; return &pools; }
void objc_autoreleasePoolPop(void *pool) { pools -= pool == &pools; }
const void *MTLCopyAllDevices(void) { objects++; return array; }

__attribute__((destructor)) static void account(void) {
    if (!*setting("STAND_IN_CALLS")) return;
    FILE *calls = fopen(setting("STAND_IN_CALLS"), "a");
    fprintf(calls, "%d objects, %d pools\n", objects, pools);
    fclose(calls);
}

static Word fill(Buffer *buffer, Word location, Word length, unsigned char byte) {
    if (location + length != buffer->size) abort();
    memset(buffer->content + location, byte, length);
    if (is("STAND_IN_SABOTAGE", "last")) buffer->content[length - 1] = 0xBA;
    return 0;
}

static Word copy(Buffer *from, Word at, Buffer *to, Word destination, Word size) {
    memcpy(to->content + destination, from->content + at, size);
    return 0;
}

static Word buffer_of(Word size, Word options) {
    if (is("STAND_IN_SABOTAGE", "memory")) return 0;
    if (options != 0 && options != 32) abort();
    Buffer *buffer = calloc(1, sizeof *buffer + size);
    buffer->size = size;
    objects++;
    return (Word)buffer;
}

Word objc_msgSend(const void *self, const char *message, Word a, Word b, Word c, Word d, Word e) {
    int m2 = self == cards[1];
    if (!self) return 0;
    called(message);
#define ON(receiver, name, ...) if (self == receiver && strcmp(message, name) == 0) return (__VA_ARGS__)
#define ON_CARD(name, ...) if ((self == cards[0] || m2) && strcmp(message, name) == 0) return (__VA_ARGS__)
    if (strcmp(message, "release") == 0) return objects--, 0;
    if (strcmp(message, "UTF8String") == 0) return (Word)self;
    ON(array, "count", is("STAND_IN_SABOTAGE", "none") ? 0 : 2);
    ON(array, "objectAtIndex:", (Word)cards[a]);
    ON_CARD("name", (Word)self);
    ON_CARD("hasUnifiedMemory", m2 | 0xFFFFFF00);  /* a BOOL is one byte: the rest may be anything */
    ON_CARD("recommendedMaxWorkingSetSize", (m2 ? 21 : 8) * GIB);
    ON_CARD("currentAllocatedSize", (m2 ? 1 : 9) * GIB);
    ON_CARD("newCommandQueue", objects++, (Word)queue);
    ON_CARD("newBufferWithLength:options:", buffer_of(a, b));
    ON(queue, "commandBuffer", committed = 0, (Word)commands);
    ON(commands, "blitCommandEncoder", (Word)encoder);
    ON(encoder, "fillBuffer:range:value:", fill((Buffer *)a, b, c, d));
    ON(encoder, "copyFromBuffer:sourceOffset:toBuffer:destinationOffset:size:", copy((Buffer *)a, b, (Buffer *)c, d, e));
    ON(encoder, "endEncoding", 0);
    ON(commands, "commit", committed = 1, 0);
    ON(commands, "waitUntilCompleted", 0);
    ON(commands, "status", is("STAND_IN_SABOTAGE", "status") ? 5 : committed ? 4 : 0);
    ON(commands, "error", (Word)failure);
    ON(failure, "localizedDescription", (Word)"the GPU was lost");
    if (strcmp(message, "contents") == 0) return (Word)((Buffer *)self)->content;
    abort();  /* as an object does that does not understand a message */
}
