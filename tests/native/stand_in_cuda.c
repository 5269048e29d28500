/* A stand-in for libcuda.so.1: NVIDIA's driver, with two cards and the faults that an environment describes.
 *
 *   STAND_IN_INIT     cuInit: a CUresult that it answers; "crash", "hang"; "exit": a constructor ends the process
 *   STAND_IN_CONTEXT  what cuDevicePrimaryCtxRetain does to one device alone: a CUresult, or "crash"
 *   STAND_IN_CARD     which one that is, in the order below; if not set the second
 *   STAND_IN_FAIL     function=CUresult, see stand_in.h
 *   STAND_IN_SABOTAGE "last": the kernel gets the last word wrong; "idle": it does nothing; "light": what is no
 *                     more than a context takes no memory
 *   STAND_IN_KIND     of the first card: "jetson": integrated, no UUID; "unified": integrated; of the second:
 *                     "cut": in MIG mode, with two slices; "uncut": in MIG mode without one
 *   STAND_IN_CALLS    a file, see stand_in.h
 *   STAND_IN_MASK     "ignored": CUDA_VISIBLE_DEVICES is not read
 *   STAND_IN_MEMORY   a directory, see stand_in_memory.h: memory is counted, a context takes 300 MiB, and what is not
 *                     there is refused; the contents of large blocks are not kept
 *   CUDA_VISIBLE_DEVICES, CUDA_DEVICE_ORDER  read in cuInit as the CUDA Programming Guide says
 *
 * The cards, in the order of their PCI ids: 8 GiB at 0000:0A:00.0, and the faster one, 24 GiB at 0001:C1:1F.7,
 * which comes first unless CUDA_DEVICE_ORDER is PCI_BUS_ID; then the two slices. A process that sees a slice sees
 * nothing else, as NVIDIA's MIG User Guide says. With -DOLD it is a driver before CUDA 11, and with
 * -DANCIENT one that knows no UUIDs.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "stand_in.h"
#include "stand_in_memory.h"

#define CONTEXT (300ull * 1024 * 1024)
#define LARGE (1024 * 1024)
enum { CARDS = 2, SLICES = 2, DEVICES = CARDS + SLICES, SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, NO_DEVICE = 100 };
enum { INVALID_DEVICE = 101, INVALID_CONTEXT = 201, INVALID_PTX = 218, NOT_FOUND = 500 };

typedef struct { const char *name, *uuid, *pci; unsigned long long memory; int major, minor; } Card;
static const Card cards[DEVICES] = {
    {"Stand-in L4", "GPU-0a000000-0102-0304-0506-0708090a0b0c", "0000:0A:00.0", 8 * GIB, 8, 9},
    {"Stand-in H100", "GPU-c1000000-0102-0304-0506-0708090a0b0c", "0001:C1:1F.7", 24 * GIB, 9, 0},
    {"Stand-in H100 MIG 1g.12gb", "MIG-51ce0001-0102-0304-0506-0708090a0b0c", "0001:C1:1F.7", 12 * GIB, 9, 0},
    {"Stand-in H100 MIG 1g.10gb", "MIG-51ce0002-0102-0304-0506-0708090a0b0c", "0001:C1:1F.7", 10 * GIB, 9, 0},
};
static const char *const placed[SLICES] = {
    "MIG-GPU-c1000000-0102-0304-0506-0708090a0b0c/1/0", "MIG-GPU-c1000000-0102-0304-0506-0708090a0b0c/5/0",
};
static int shown[DEVICES], shown_count = -1, retained[DEVICES], current = -1;

#define LISTED(device) do { CALLED(); if (device < 0 || device >= shown_count) return INVALID_DEVICE; } while (0)
#define CURRENT() do { CALLED(); if (current < 0) return INVALID_CONTEXT; } while (0)

ENDS_AS("STAND_IN_INIT")

/* The card at a place in the order that CUDA counts by. */
static int counted(int place) { return is("CUDA_DEVICE_ORDER", "PCI_BUS_ID") ? place : CARDS - 1 - place; }

/* What CUDA shows of a card: itself, or its first slice; -1: nothing. */
static int seen(int card) {
    if (card == 1 && is("STAND_IN_KIND", "cut")) return CARDS;
    return card == 1 && is("STAND_IN_KIND", "uncut") ? -1 : card;
}

/* What an entry of the mask names, or -1. */
static int named(const char *entry) {
    char *end;
    long place = strtol(entry, &end, 10);
    if (*entry && !*end) return place >= 0 && place < CARDS ? seen(counted((int)place)) : -1;
    for (int device = 0; device < (is("STAND_IN_KIND", "cut") ? DEVICES : CARDS); device++) {
        if (strlen(entry) > 4 && strncasecmp(cards[device].uuid, entry, strlen(entry)) == 0) return seen(device);
        if (device >= CARDS && strcmp(placed[device - CARDS], entry) == 0) return device;
    }
    return -1;
}

static void read_mask(void) {
    char list[256], *word, *rest = NULL;
    const char *mask = is("STAND_IN_MASK", "ignored") ? NULL : getenv("CUDA_VISIBLE_DEVICES");
    snprintf(list, sizeof list, "%s", mask ? mask : "0,1");
    shown_count = 0;
    for (word = strtok_r(list, ",", &rest); word && shown_count < CARDS; word = strtok_r(NULL, ",", &rest)) {
        int device = named(word);
        if (device < 0 && mask) return;
        if (device >= CARDS) shown[0] = device, shown_count = 1;
        if (device >= CARDS) return;
        if (device >= 0) shown[shown_count++] = device;
    }
}

int cuInit(unsigned int flags) {
    CALLED();
    start("STAND_IN_INIT");
    if (atoi(setting("STAND_IN_INIT"))) return atoi(setting("STAND_IN_INIT"));
    if (flags) return INVALID_VALUE;
    puts("a driver that is fond of standard output");
    read_mask();
    return shown_count ? SUCCESS : NO_DEVICE;
}

int cuDriverGetVersion(int *version) { CALLED(); *version = 12080; return SUCCESS; }

int cuDeviceGetCount(int *count) {
    CALLED();
    if (shown_count < 0) return NOT_INITIALIZED;
    *count = shown_count;
    return SUCCESS;
}

int cuDeviceGet(int *device, int ordinal) { LISTED(ordinal); *device = ordinal; return SUCCESS; }

static int is_kind(int device, const char *kind) { return shown[device] == 0 && is("STAND_IN_KIND", kind); }

int cuDeviceGetName(char *name, int size, int device) {
    LISTED(device);
    snprintf(name, size, "%s", cards[shown[device]].name);
    return SUCCESS;
}

#ifndef ANCIENT
#ifdef OLD
int cuDeviceGetUuid(unsigned char uuid[16], int device) {
#else
int cuDeviceGetUuid_v2(unsigned char uuid[16], int device) {
#endif
    LISTED(device);
    const char *digits = cards[shown[device]].uuid + 4;
    for (int byte = 0; byte < 16; byte++, digits += 2) {
        if (*digits == '-') digits++;
        sscanf(digits, "%2hhx", &uuid[byte]);
        if (is_kind(device, "jetson")) uuid[byte] = 0;
    }
    return SUCCESS;
}
#endif

int cuDeviceGetPCIBusId(char *id, int size, int device) {
    LISTED(device);
    snprintf(id, size, "%s", cards[shown[device]].pci);
    return SUCCESS;
}

int cuDeviceTotalMem_v2(size_t *bytes, int device) { LISTED(device); *bytes = cards[shown[device]].memory; return SUCCESS; }

int cuDeviceGetAttribute(int *value, int attribute, int device) {
    LISTED(device);
    switch (attribute) {
    case 18: *value = is_kind(device, "jetson") || is_kind(device, "unified"); return SUCCESS;
    case 75: *value = cards[shown[device]].major; return SUCCESS;
    case 76: *value = cards[shown[device]].minor; return SUCCESS;
    default: return INVALID_VALUE;
    }
}

static int is_faulty(int device) {
    return shown[device] == (*setting("STAND_IN_CARD") ? atoi(setting("STAND_IN_CARD")) : 1);
}

/* Take memory of a listed device, where it is counted. */
static int taken(int device, unsigned long long name, unsigned long long size) {
    const Card *card = &cards[shown[device]];
    if (!memory_directory() || (size <= CONTEXT && is("STAND_IN_SABOTAGE", "light"))) return SUCCESS;
    if (memory_free(card->uuid, card->memory) < size) return OUT_OF_MEMORY;
    memory_block(card->uuid, name, size);
    return SUCCESS;
}

static void given(int device, unsigned long long name) {
    if (memory_directory()) memory_block(cards[shown[device]].uuid, name, 0);
}

int cuDevicePrimaryCtxRetain(void **context, int device) {
    LISTED(device);
    if (is_faulty(device) && is("STAND_IN_CONTEXT", "crash")) crash();
    if (is_faulty(device) && atoi(setting("STAND_IN_CONTEXT"))) return atoi(setting("STAND_IN_CONTEXT"));
    if (!retained[device] && taken(device, 0, CONTEXT)) return OUT_OF_MEMORY;
    retained[device]++;
    *context = &retained[device];
    return SUCCESS;
}

#ifdef OLD
int cuDevicePrimaryCtxRelease(int device) {
#else
int cuDevicePrimaryCtxRelease_v2(int device) {
#endif
    LISTED(device);
    if (--retained[device] == 0) given(device, 0);
    return retained[device] < 0 ? INVALID_CONTEXT : SUCCESS;
}

int cuCtxPushCurrent_v2(void *context) { CALLED(); current = (int *)context - retained; return SUCCESS; }
int cuCtxPopCurrent_v2(void **context) { CURRENT(); *context = &retained[current]; current = -1; return SUCCESS; }
int cuCtxSynchronize(void) { CURRENT(); return SUCCESS; }

int cuMemGetInfo_v2(size_t *free_bytes, size_t *total) {
    CURRENT();
    *total = cards[shown[current]].memory;
    *free_bytes = memory_directory() ? memory_free(cards[shown[current]].uuid, *total) : *total - 3 * GIB;
    return SUCCESS;
}

int cuMemAlloc_v2(uint64_t *address, size_t size) {
    CURRENT();
    *address = (uintptr_t)malloc(memory_directory() && size > LARGE ? 1 : size);
    return taken(current, *address, size);
}

int cuMemFree_v2(uint64_t address) {
    CURRENT();
    given(current, address);
    free((void *)(uintptr_t)address);
    return SUCCESS;
}

int cuMemcpyHtoD_v2(uint64_t to, const void *from, size_t size) { CURRENT(); memcpy((void *)(uintptr_t)to, from, size); return SUCCESS; }
int cuMemcpyDtoH_v2(void *to, uint64_t from, size_t size) { CURRENT(); memcpy(to, (void *)(uintptr_t)from, size); return SUCCESS; }

/* The text is not run, but what it computes with is read from it. */
static unsigned factor;

int cuModuleLoadData(void **module, const char *text) {
    CURRENT();
    const char *product = strstr(text, "mul.lo.u32 %word, %place, ");
    if (strncmp(text, ".version 6.0\n.target sm_50\n", 27) != 0 || !product) return INVALID_PTX;
    factor = strtoul(product + strlen("mul.lo.u32 %word, %place, "), NULL, 0);
    *module = strdup(text);
    return SUCCESS;
}

int cuModuleUnload(void *module) { CURRENT(); free(module); return SUCCESS; }

int cuModuleGetFunction(void **function, void *module, const char *name) {
    char entry[64];
    CURRENT();
    snprintf(entry, sizeof entry, ".visible .entry %s(", name);
    *function = strstr(module, entry);
    return *function ? SUCCESS : NOT_FOUND;
}

int cuLaunchKernel(void *function, unsigned blocks, unsigned by, unsigned bz, unsigned threads, unsigned ty, unsigned tz,
                   unsigned shared, void *stream, void **arguments, void **extra) {
    CURRENT();
    if (by * bz * ty * tz != 1 || shared || stream || extra || !function) return INVALID_VALUE;
    uint32_t *words = (uint32_t *)(uintptr_t) * (uint64_t *)arguments[0], summand = *(uint32_t *)arguments[1];
    if (is("STAND_IN_SABOTAGE", "idle")) return SUCCESS;
    for (unsigned place = 0; place < blocks * threads; place++) words[place] = place * factor + summand;
    if (is("STAND_IN_SABOTAGE", "last")) words[blocks * threads - 1] = 0xBAD;
    return SUCCESS;
}
