/* A stand-in for libze_loader.so.1: the loader with a driver that has two cards, and the faults of an environment.
 *
 *   STAND_IN_INIT     zeInit: "crash", "hang"; a ze_result_t in hexadecimal that it answers; "exit": a constructor
 *                     ends the process
 *   STAND_IN_CONTEXT  what zeContextCreate does where the second card is visible: "crash", or a ze_result_t
 *   STAND_IN_FAIL     function=ze_result_t in decimal, see stand_in.h
 *   STAND_IN_SABOTAGE "last": a fill gets the last word wrong; "idle": it does nothing
 *   STAND_IN_KIND     of the first card: "integrated", "npu": it is no GPU, "nameless": no UUID
 *   STAND_IN_BESIDE   there is another driver, before this one: what its zeDeviceGet answers, in hexadecimal
 *   STAND_IN_CALLS    a file, see stand_in.h
 *   ZE_AFFINITY_MASK  read in zeInit: numbers, in any order; out of range is passed over; empty or "default" is none
 *
 * The cards: 16 GiB at 0000:03:00.0, and 8 GiB at 0001:c1:1f.7, where Vulkan's stand-in has its card. System
 * management lists them the other way round. With -DOLD it is a loader before 1.5, and with -DANCIENT one that
 * cannot fill.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stand_in.h"

enum { CARDS = 2, OUT_OF_MEMORY = 0x70000003, UNINITIALIZED = 0x78000001, INVALID_ARGUMENT = 0x78000004 };

typedef struct { int32_t stype; void *next; uint32_t flags; } Desc;
typedef struct { int32_t stype; void *next; uint8_t uuid[16]; uint32_t version; } DriverProperties;
typedef struct {
    int32_t stype; void *next; uint32_t type, vendor, device, flags, subdevice, clock; uint64_t most;
    uint32_t contexts, priority, threads, width, units, subslices, slices; uint64_t timer; uint32_t bits, kernel_bits;
    uint8_t uuid[16]; char name[256];
} DeviceProperties;
typedef struct {
    int32_t stype; void *next; uint32_t flags, clock, width; uint64_t size; char name[256];
} MemoryProperties;
typedef struct { int32_t stype; void *next; uint32_t flags; size_t pattern; uint32_t queues; } GroupProperties;
typedef struct { int32_t stype; void *next; uint32_t ordinal, index, flags, mode, priority; } QueueDesc;
typedef struct { int32_t stype; void *next; uint32_t address[4]; int32_t speed[2]; int64_t bandwidth; } Pci;
typedef struct { int32_t stype; void *next; uint32_t health; uint64_t free, size; } MemState;

typedef struct { const char *name; uint8_t byte; uint32_t address[4]; uint64_t size, free; } Card;
static Card cards[CARDS] = {
    {"Stand-in A770", 0xA7, {0, 3, 0, 0}, 16 * GIB, 15 * GIB},
    {"Stand-in B580", 0xB5, {1, 0xC1, 0x1F, 7}, 8 * GIB, 7 * GIB},
};
static Card *shown[CARDS];
static uint32_t shown_count, ready;
static int driver, beside, context, command_list;

#define READY() do { CALLED(); if (!ready) return UNINITIALIZED; } while (0)
#define IS_A(structure, expected) do { if ((structure)->stype != expected || (structure)->next) return INVALID_ARGUMENT; } while (0)

ENDS_AS("STAND_IN_INIT")

static int is_shown(int card) {
    const char *mask = setting("ZE_AFFINITY_MASK");
    char *end;
    if (!*mask || strcmp(mask, "default") == 0) return 1;
    for (; mask; mask = strchr(mask, ',') ? strchr(mask, ',') + 1 : NULL)
        if (strtoul(mask, &end, 0) == (unsigned long)card && end != mask) return 1;
    return 0;
}

static int list(uint32_t *count, void **handles, uint32_t all, void *(*nth)(uint32_t)) {
    if (!handles) *count = all;
    for (uint32_t n = 0; handles && n < *count; n++) handles[n] = nth(n);
    return 0;
}
static void *shown_card(uint32_t n) { return shown[n]; }

int zeInit(uint32_t flags) {
    CALLED();
    start("STAND_IN_INIT");
    if (*setting("STAND_IN_INIT")) return (int)strtoul(setting("STAND_IN_INIT"), NULL, 16);
    if (flags != 1) return INVALID_ARGUMENT;
    for (int card = 0; card < CARDS; card++)
        if (is_shown(card)) shown[shown_count++] = &cards[card];
    ready = shown_count > 0;
    return ready ? 0 : UNINITIALIZED;
}

static void *nth_driver(uint32_t n) { return n || !*setting("STAND_IN_BESIDE") ? &driver : &beside; }
int zeDriverGet(uint32_t *count, void **drivers) { READY(); return list(count, drivers, *setting("STAND_IN_BESIDE") ? 2 : 1, nth_driver); }

int zeDriverGetProperties(void *of, DriverProperties *properties) {
    READY();
    IS_A(properties, 0x1);
    properties->version = 1 << 24 | 6 << 16 | 31294;
    return 0;
}

int zeDeviceGet(void *of, uint32_t *count, void **devices) {
    READY();
    if (of == &beside) return (int)strtoul(setting("STAND_IN_BESIDE"), NULL, 16);
    return list(count, devices, shown_count, shown_card);
}

static int is_kind(Card *card, const char *kind) { return card == &cards[0] && is("STAND_IN_KIND", kind); }

int zeDeviceGetProperties(Card *card, DeviceProperties *properties) {
    READY();
    IS_A(properties, 0x3);
    properties->type = is_kind(card, "npu") ? 5 : 1;
    properties->flags = is_kind(card, "integrated");
    memset(properties->uuid, is_kind(card, "nameless") ? 0 : card->byte, 16);
    snprintf(properties->name, sizeof properties->name, "%s", card->name);
    return 0;
}

int zeDeviceGetMemoryProperties(Card *card, uint32_t *count, MemoryProperties *memories) {
    READY();
    if (!memories) *count = 2;
    for (uint32_t n = 0; memories && n < *count; n++) {
        IS_A(&memories[n], 0x7);
        memories[n].size = card->size / 2;
    }
    return 0;
}

int zeDeviceGetCommandQueueGroupProperties(Card *card, uint32_t *count, GroupProperties *groups) {
    READY();
    if (!groups) *count = is("STAND_IN_SABOTAGE", "copies only") ? 1 : 2;
    for (uint32_t n = 0; groups && n < *count; n++) {
        IS_A(&groups[n], 0x6);
        groups[n].flags = n ? 1 : 2;
    }
    return 0;
}

int zeContextCreate(void *of, Desc *desc, void **created) {
    READY();
    IS_A(desc, 0xD);
    if (shown[shown_count - 1] == &cards[1] && is("STAND_IN_CONTEXT", "crash")) crash();
    if (shown[shown_count - 1] == &cards[1] && *setting("STAND_IN_CONTEXT"))
        return (int)strtoul(setting("STAND_IN_CONTEXT"), NULL, 16);
    *created = &context;
    return 0;
}
int zeContextDestroy(void *of) { READY(); return of == &context ? 0 : INVALID_ARGUMENT; }

int zeMemAllocDevice(void *in, Desc *desc, size_t size, size_t alignment, void *card, void **memory) {
    READY();
    IS_A(desc, 0x15);
    return posix_memalign(memory, alignment, size) ? OUT_OF_MEMORY : 0;
}
int zeMemAllocHost(void *in, Desc *desc, size_t size, size_t alignment, void **memory) {
    READY();
    IS_A(desc, 0x16);
    return posix_memalign(memory, alignment, size) ? OUT_OF_MEMORY : 0;
}
int zeMemFree(void *in, void *memory) { READY(); free(memory); return 0; }

int zeCommandListCreateImmediate(void *in, void *card, QueueDesc *desc, void **created) {
    READY();
    IS_A(desc, 0xE);
    if (desc->ordinal != 1 || desc->mode != 1) return INVALID_ARGUMENT;
    *created = &command_list;
    return 0;
}
int zeCommandListDestroy(void *list_) { READY(); return list_ == &command_list ? 0 : INVALID_ARGUMENT; }

#ifndef ANCIENT
int zeCommandListAppendMemoryFill(void *list_, void *memory, void *pattern, size_t width, size_t size, void *signal,
                                  uint32_t events, void **wait) {
    READY();
    if (width != 4 || size % 4 || signal || events || wait) return INVALID_ARGUMENT;
    memset(memory, 0, size);
    for (size_t at = 0; at < size && !is("STAND_IN_SABOTAGE", "idle"); at += 4) memcpy((char *)memory + at, pattern, 4);
    if (is("STAND_IN_SABOTAGE", "last")) memset((char *)memory + size - 4, 0xBA, 4);
    return 0;
}
#endif

int zeCommandListAppendMemoryCopy(void *list_, void *to, void *from, size_t size, void *signal, uint32_t events, void **wait) {
    READY();
    memcpy(to, from, size);
    return 0;
}

#ifndef OLD
static void *the_driver(uint32_t n) { return &driver; }
static void *card_backwards(uint32_t n) { return &cards[CARDS - 1 - n]; }
static int managed;

static int address_of(Card *card, Pci *properties) {
    memcpy(properties->address, card->address, sizeof card->address);
    return 0;
}
int zeDevicePciGetPropertiesExt(Card *card, Pci *properties) { READY(); IS_A(properties, 0x10008); return address_of(card, properties); }

int zesInit(uint32_t flags) { CALLED(); managed = !flags; return 0; }
int zesDriverGet(uint32_t *count, void **drivers) { CALLED(); return managed ? list(count, drivers, 1, the_driver) : UNINITIALIZED; }
int zesDeviceGet(void *of, uint32_t *count, void **devices) { CALLED(); return list(count, devices, CARDS, card_backwards); }
int zesDevicePciGetProperties(Card *card, Pci *properties) { CALLED(); IS_A(properties, 0x2); return address_of(card, properties); }

int zesDeviceEnumMemoryModules(Card *card, uint32_t *count, void **modules) {
    CALLED();
    if (!modules) *count = is_kind(card, "integrated") ? 0 : 2;
    for (uint32_t n = 0; modules && n < *count; n++) modules[n] = card;
    return 0;
}
int zesMemoryGetState(Card *card, MemState *state) { CALLED(); IS_A(state, 0x1E); state->free = card->free / 2; return 0; }
#endif
