/* A stand-in for libvulkan.so.1: loader and driver in one, with devices as an environment describes them.
 *
 *   STAND_IN_DEVICES  types by name, separated by commas: discrete, integrated, virtual, cpu
 *   STAND_IN_FAIL     function=VkResult, see stand_in.h
 *   STAND_IN_SABOTAGE "fill": the last word is filled with something else; "copy": nothing is copied
 *   STAND_IN_VENDOR   vendor, driver id and driver version as three numbers, for every device
 *   STAND_IN_BARE     set: no extensions, no UUID
 *   STAND_IN_NAME     what every device is called behind "Stand-in"; else its type
 *   STAND_IN_PORTABLE set: the driver is a portability driver, which is hidden from who does not ask for such
 *   STAND_IN_CALLS    a file, see stand_in.h
 *
 * Memory type 0 can do everything and holds no buffers. Heap 0 is the device's own, 8 GiB, of which 6 GiB are granted and 1 GiB is used; heap 1 is the system's,
 * 16 GiB, of which more is used than granted.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vulkan/vulkan.h>

#include "stand_in.h"

#define MAX_DEVICES 8
#define MAX_COMMANDS 8

typedef struct { VkDeviceSize size; char *memory; } Buffer;
typedef struct { Buffer *from, *to; VkDeviceSize size; uint32_t word; } Command;

static char devices[MAX_DEVICES][16];
static Command commands[MAX_COMMANDS];
static int command_count, submitted;

#define NOTED() ((void)called(__func__))
#define NEW(kind, handle) (*(handle) = (kind)(uintptr_t)calloc(1, 64))

VkResult vkEnumerateInstanceExtensionProperties(const char *layer, uint32_t *count, VkExtensionProperties *all) {
    CALLED();
    *count = *setting("STAND_IN_PORTABLE") ? 1 : 0;
    if (all && *count) strcpy(all[0].extensionName, "VK_KHR_portability_enumeration");
    return VK_SUCCESS;
}

VkResult vkCreateInstance(const VkInstanceCreateInfo *info, const VkAllocationCallbacks *a, VkInstance *instance) {
    CALLED();
    if (info->pApplicationInfo->apiVersion != VK_API_VERSION_1_1) return VK_ERROR_INCOMPATIBLE_DRIVER;
    if (*setting("STAND_IN_PORTABLE") && (info->enabledExtensionCount != 1 || info->flags != 1))
        return VK_ERROR_INCOMPATIBLE_DRIVER;
    puts("a driver that is fond of standard output");
    fputs("and of standard error\n", stderr);
    NEW(VkInstance, instance);
    return VK_SUCCESS;
}

void vkDestroyInstance(VkInstance instance, const VkAllocationCallbacks *a) { NOTED(); free(instance); }

VkResult vkEnumeratePhysicalDevices(VkInstance instance, uint32_t *count, VkPhysicalDevice *all) {
    CALLED();
    char list[256], *word, *rest = NULL;
    snprintf(list, sizeof list, "%s", setting("STAND_IN_DEVICES"));
    uint32_t found = 0;
    for (word = strtok_r(list, ",", &rest); word; word = strtok_r(NULL, ",", &rest), found++) {
        snprintf(devices[found], sizeof devices[found], "%s", word);
        if (all) all[found] = (VkPhysicalDevice)devices[found];
    }
    *count = found;
    return VK_SUCCESS;
}

VkResult vkEnumerateDeviceExtensionProperties(VkPhysicalDevice device, const char *layer, uint32_t *count,
                                              VkExtensionProperties *all) {
    CALLED();
    *count = *setting("STAND_IN_BARE") ? 0 : *setting("STAND_IN_PORTABLE") ? 3 : 2;
    if (all && *count == 3) strcpy(all[2].extensionName, "VK_KHR_portability_subset");
    if (all && *count) {
        strcpy(all[0].extensionName, "VK_EXT_pci_bus_info");
        strcpy(all[1].extensionName, "VK_EXT_memory_budget");
    }
    return VK_SUCCESS;
}

static int index_of(VkPhysicalDevice device) { return (int)((char(*)[16])device - devices); }

void vkGetPhysicalDeviceProperties2(VkPhysicalDevice device, VkPhysicalDeviceProperties2 *head) {
    NOTED();
    const char *type = (const char *)device;
    uint32_t vendor = 0x1002, driver = VK_DRIVER_ID_MESA_RADV, version = VK_MAKE_VERSION(24, 3, 1);
    sscanf(setting("STAND_IN_VENDOR"), "%u %u %u", &vendor, &driver, &version);
    head->properties.driverVersion = version;
    head->properties.vendorID = vendor;
    head->properties.deviceType = !strcmp(type, "integrated") ? VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU
                                  : !strcmp(type, "discrete") ? VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU
                                  : !strcmp(type, "virtual")  ? VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU
                                                              : VK_PHYSICAL_DEVICE_TYPE_CPU;
    snprintf(head->properties.deviceName, sizeof head->properties.deviceName, "Stand-in %s",
             *setting("STAND_IN_NAME") ? setting("STAND_IN_NAME") : type);
    for (VkBaseOutStructure *link = head->pNext; link; link = link->pNext) {
        if (link->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ID_PROPERTIES && !*setting("STAND_IN_BARE")) {
            VkPhysicalDeviceIDProperties *id = (void *)link;
            for (int byte = 0; byte < VK_UUID_SIZE; byte++) id->deviceUUID[byte] = 0x10 * index_of(device) + byte;
        }
        if (link->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES && !*setting("STAND_IN_BARE")) {
            VkPhysicalDeviceDriverProperties *properties = (void *)link;
            properties->driverID = driver;
            strcpy(properties->driverName, "stand-in");
            strcpy(properties->driverInfo, "Mesa 24.3.1");
        }
        if (link->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PCI_BUS_INFO_PROPERTIES_EXT) {
            VkPhysicalDevicePCIBusInfoPropertiesEXT *pci = (void *)link;
            pci->pciDomain = 1;
            pci->pciBus = 0xC1 + index_of(device);
            pci->pciDevice = 0x1F;
            pci->pciFunction = 7;
        }
    }
}

void vkGetPhysicalDeviceMemoryProperties2(VkPhysicalDevice device, VkPhysicalDeviceMemoryProperties2 *head) {
    NOTED();
    head->memoryProperties = (VkPhysicalDeviceMemoryProperties){
        .memoryTypeCount = 3,
        .memoryTypes = {{VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT | VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT, 0},
                        {VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, 0},
                        {VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT, 1}},
        .memoryHeapCount = 2,
        .memoryHeaps = {{8 * GIB, VK_MEMORY_HEAP_DEVICE_LOCAL_BIT}, {16 * GIB, 0}},
    };
    for (VkBaseOutStructure *link = head->pNext; link; link = link->pNext)
        if (link->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT) {
            VkPhysicalDeviceMemoryBudgetPropertiesEXT *budget = (void *)link;
            budget->heapBudget[0] = 6 * GIB;
            budget->heapUsage[0] = 1 * GIB;
            budget->heapBudget[1] = 2 * GIB;
            budget->heapUsage[1] = 3 * GIB;
        }
}

void vkGetPhysicalDeviceQueueFamilyProperties(VkPhysicalDevice device, uint32_t *count,
                                              VkQueueFamilyProperties *all) {
    NOTED();
    *count = 2;
    if (all) all[0].queueFlags = VK_QUEUE_SPARSE_BINDING_BIT, all[1].queueFlags = VK_QUEUE_COMPUTE_BIT;
}

VkResult vkCreateDevice(VkPhysicalDevice physical, const VkDeviceCreateInfo *info, const VkAllocationCallbacks *a,
                        VkDevice *device) {
    CALLED();
    if (info->pQueueCreateInfos->queueFamilyIndex != 1) return VK_ERROR_INITIALIZATION_FAILED;
    if (*setting("STAND_IN_PORTABLE") && info->enabledExtensionCount != 1) return VK_ERROR_EXTENSION_NOT_PRESENT;
    NEW(VkDevice, device);
    return VK_SUCCESS;
}

void vkDestroyDevice(VkDevice device, const VkAllocationCallbacks *a) { NOTED(); free(device); }

void vkGetDeviceQueue(VkDevice device, uint32_t family, uint32_t index, VkQueue *queue) {
    NOTED();
    *queue = (VkQueue)device;
}

VkResult vkCreateBuffer(VkDevice device, const VkBufferCreateInfo *info, const VkAllocationCallbacks *a,
                        VkBuffer *buffer) {
    CALLED();
    NEW(VkBuffer, buffer);
    ((Buffer *)*buffer)->size = info->size;
    return VK_SUCCESS;
}

void vkDestroyBuffer(VkDevice device, VkBuffer buffer, const VkAllocationCallbacks *a) { NOTED(); free(buffer); }

void vkGetBufferMemoryRequirements(VkDevice device, VkBuffer buffer, VkMemoryRequirements *needs) {
    NOTED();
    *needs = (VkMemoryRequirements){((Buffer *)buffer)->size, 64, 6};
}

VkResult vkAllocateMemory(VkDevice device, const VkMemoryAllocateInfo *info, const VkAllocationCallbacks *a,
                          VkDeviceMemory *memory) {
    CALLED();
    if (info->memoryTypeIndex == 0) return VK_ERROR_OUT_OF_DEVICE_MEMORY;
    *memory = (VkDeviceMemory)calloc(1, info->allocationSize);
    return VK_SUCCESS;
}

void vkFreeMemory(VkDevice device, VkDeviceMemory memory, const VkAllocationCallbacks *a) { NOTED(); free(memory); }

VkResult vkBindBufferMemory(VkDevice device, VkBuffer buffer, VkDeviceMemory memory, VkDeviceSize offset) {
    CALLED();
    ((Buffer *)buffer)->memory = (char *)memory;
    return VK_SUCCESS;
}

VkResult vkMapMemory(VkDevice device, VkDeviceMemory memory, VkDeviceSize offset, VkDeviceSize size,
                     VkMemoryMapFlags flags, void **address) {
    CALLED();
    *address = memory;
    return VK_SUCCESS;
}

void vkUnmapMemory(VkDevice device, VkDeviceMemory memory) { NOTED(); }

VkResult vkFlushMappedMemoryRanges(VkDevice device, uint32_t count, const VkMappedMemoryRange *ranges) {
    CALLED();
    return VK_SUCCESS;
}

VkResult vkInvalidateMappedMemoryRanges(VkDevice device, uint32_t count, const VkMappedMemoryRange *ranges) {
    CALLED();
    return VK_SUCCESS;
}

VkResult vkCreateCommandPool(VkDevice device, const VkCommandPoolCreateInfo *info, const VkAllocationCallbacks *a,
                             VkCommandPool *pool) {
    CALLED();
    NEW(VkCommandPool, pool);
    return VK_SUCCESS;
}

void vkDestroyCommandPool(VkDevice device, VkCommandPool pool, const VkAllocationCallbacks *a) {
    NOTED();
    free(pool);
}

VkResult vkAllocateCommandBuffers(VkDevice device, const VkCommandBufferAllocateInfo *info, VkCommandBuffer *all) {
    CALLED();
    *all = (VkCommandBuffer)commands;
    return VK_SUCCESS;
}

VkResult vkBeginCommandBuffer(VkCommandBuffer buffer, const VkCommandBufferBeginInfo *info) {
    CALLED();
    command_count = 0;
    return VK_SUCCESS;
}

void vkCmdFillBuffer(VkCommandBuffer buffer, VkBuffer to, VkDeviceSize offset, VkDeviceSize size, uint32_t word) {
    NOTED();
    commands[command_count++] = (Command){NULL, (Buffer *)to, size, word};
}

void vkCmdCopyBuffer(VkCommandBuffer buffer, VkBuffer from, VkBuffer to, uint32_t count, const VkBufferCopy *region) {
    NOTED();
    commands[command_count++] = (Command){(Buffer *)from, (Buffer *)to, region->size, 0};
}

void vkCmdPipelineBarrier(VkCommandBuffer buffer, VkPipelineStageFlags before, VkPipelineStageFlags after,
                          VkDependencyFlags flags, uint32_t memory_count, const VkMemoryBarrier *memory,
                          uint32_t buffer_count, const VkBufferMemoryBarrier *buffers, uint32_t image_count,
                          const VkImageMemoryBarrier *images) {
    NOTED();
}

VkResult vkEndCommandBuffer(VkCommandBuffer buffer) {
    CALLED();
    return VK_SUCCESS;
}

VkResult vkCreateFence(VkDevice device, const VkFenceCreateInfo *info, const VkAllocationCallbacks *a,
                       VkFence *fence) {
    CALLED();
    NEW(VkFence, fence);
    return VK_SUCCESS;
}

void vkDestroyFence(VkDevice device, VkFence fence, const VkAllocationCallbacks *a) { NOTED(); free(fence); }

static void perform(const Command *command) {
    uint32_t *words = (uint32_t *)command->to->memory;
    VkDeviceSize count = command->size / 4;
    if (command->from) {
        if (!is("STAND_IN_SABOTAGE", "copy")) memcpy(words, command->from->memory, command->size);
        return;
    }
    for (VkDeviceSize word = 0; word < count; word++) words[word] = command->word;
    if (is("STAND_IN_SABOTAGE", "fill")) words[count - 1] = 0xBAD;
}

VkResult vkQueueSubmit(VkQueue queue, uint32_t count, const VkSubmitInfo *info, VkFence fence) {
    CALLED();
    submitted = 1;
    return VK_SUCCESS;
}

VkResult vkWaitForFences(VkDevice device, uint32_t count, const VkFence *fences, VkBool32 all, uint64_t patience) {
    CALLED();
    if (!submitted || patience == UINT64_MAX) return VK_ERROR_UNKNOWN;
    for (int index = 0; index < command_count; index++) perform(&commands[index]);
    return VK_SUCCESS;
}
