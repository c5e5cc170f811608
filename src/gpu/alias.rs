//! Buffers that kernels also read as textures, without a copy: an image of linear tiling lies in the
//! buffer's own memory. Vulkan defines what such an image holds (memory aliasing), `wgpu` has no word for it.
//!
//! For Mesa's llvmpipe alone (see [`super::texture`]): it runs one launch after the other on coherent
//! memory, so a texture needs no barrier after the launch that wrote the buffer, and images have no
//! layouts. `wgpu`, which takes the two for unrelated, would make neither.

use std::sync::Arc;

use ash::vk;
use wgpu::hal::api::Vulkan;
use wgpu::hal::vulkan::{Buffer as HalBuffer, Device as HalDevice, TextureMemory};

use super::Precision;
use super::texture::Shape;

/// Memory beyond a buffer's end: images have whole rows, and the driver adds some.
const SLACK: u64 = 64 << 10;

/// A buffer's memory, which lives as long as `wgpu` needs the buffer or a texture in it.
pub(super) struct Memory(Arc<Owned>);

struct Owned {
    device: ash::Device,
    buffer: vk::Buffer,
    memory: vk::DeviceMemory,
    memory_type: u32,
    bytes: u64,
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: the last user has gone, and whoever held this holds the device, too.
        unsafe {
            self.device.destroy_buffer(self.buffer, None);
            self.device.free_memory(self.memory, None);
        }
    }
}

/// Whether the device can read buffers as textures of both precisions.
pub(super) fn is_offered(device: &wgpu::Device) -> bool {
    // SAFETY: nothing is destroyed.
    let Some(hal) = (unsafe { device.as_hal::<Vulkan>() }) else { return false };
    let instance = hal.shared_instance().raw_instance();
    [Precision::F32, Precision::F16].into_iter().all(|precision| {
        // SAFETY: the adapter is the device's.
        let properties = unsafe {
            instance.get_physical_device_image_format_properties(
                hal.raw_physical_device(),
                format(precision),
                vk::ImageType::TYPE_2D,
                vk::ImageTiling::LINEAR,
                vk::ImageUsageFlags::STORAGE,
                vk::ImageCreateFlags::ALIAS,
            )
        };
        properties.is_ok_and(|properties| {
            u64::from(properties.max_extent.width) >= super::texture::WIDTH
                && u64::from(properties.max_extent.height) >= super::texture::MAX_ROWS
        })
    })
}

fn format(precision: Precision) -> vk::Format {
    match precision {
        Precision::F32 => vk::Format::R32G32B32A32_SFLOAT,
        Precision::F16 => vk::Format::R16G16B16A16_SFLOAT,
    }
}

/// A zeroed buffer for storage and copies in memory that textures can share; nothing where the driver
/// refuses.
pub(super) fn buffer(
    device: &wgpu::Device,
    queue: &wgpu::Queue,
    descriptor: &wgpu::BufferDescriptor<'_>,
) -> Option<(wgpu::Buffer, Memory)> {
    // SAFETY: nothing is destroyed.
    let hal = unsafe { device.as_hal::<Vulkan>() }?;
    let owned = Arc::new(Owned::new(&hal, descriptor.size)?);
    drop(hal);
    let kept = Arc::clone(&owned);
    // SAFETY: the buffer has the size and the usages of the descriptor, and the callback keeps it.
    let buffer = unsafe {
        let raw = HalBuffer::from_raw_externally_owned(owned.buffer, Box::new(|| drop(kept)));
        device.create_buffer_from_hal::<Vulkan>(raw, descriptor)
    };
    let mut encoder = device.create_command_encoder(&Default::default());
    encoder.clear_buffer(&buffer, 0, None);
    queue.submit([encoder.finish()]);
    Some((buffer, Memory(owned)))
}

impl Owned {
    fn new(hal: &HalDevice, bytes: u64) -> Option<Self> {
        let device = hal.raw_device().clone();
        let usage = vk::BufferUsageFlags::STORAGE_BUFFER
            | vk::BufferUsageFlags::TRANSFER_SRC
            | vk::BufferUsageFlags::TRANSFER_DST;
        let info = vk::BufferCreateInfo::default().size(bytes).usage(usage);
        // SAFETY: the handles are this device's, and those of a failure are destroyed.
        unsafe {
            let buffer = device.create_buffer(&info, None).ok()?;
            let needed = device.get_buffer_memory_requirements(buffer);
            let memory_type = needed.memory_type_bits.trailing_zeros();
            let info = vk::MemoryAllocateInfo::default()
                .allocation_size(needed.size + SLACK)
                .memory_type_index(memory_type);
            let Ok(memory) = device.allocate_memory(&info, None) else {
                device.destroy_buffer(buffer, None);
                return None;
            };
            let owned = Self { device, buffer, memory, memory_type, bytes: info.allocation_size };
            owned.device.bind_buffer_memory(buffer, memory, 0).ok()?;
            Some(owned)
        }
    }

    /// An image in the memory from byte `first` on, unless the driver lays it out in another way.
    fn image(&self, shape: &Shape, first: u64) -> Option<vk::Image> {
        let size = shape.size();
        let info = vk::ImageCreateInfo::default()
            .flags(vk::ImageCreateFlags::ALIAS)
            .image_type(vk::ImageType::TYPE_2D)
            .format(format(shape.precision))
            .extent(vk::Extent3D { width: size.width, height: size.height, depth: 1 })
            .mip_levels(1)
            .array_layers(1)
            .samples(vk::SampleCountFlags::TYPE_1)
            .tiling(vk::ImageTiling::LINEAR)
            .usage(vk::ImageUsageFlags::STORAGE)
            .initial_layout(vk::ImageLayout::PREINITIALIZED);
        let color = vk::ImageSubresource::default().aspect_mask(vk::ImageAspectFlags::COLOR);
        // SAFETY: the handles are this device's, and an image that does not fit is destroyed.
        unsafe {
            let image = self.device.create_image(&info, None).ok()?;
            let needed = self.device.get_image_memory_requirements(image);
            let layout = self.device.get_image_subresource_layout(image, color);
            let fits = needed.memory_type_bits & 1 << self.memory_type != 0
                && first.is_multiple_of(needed.alignment)
                && first + needed.size <= self.bytes
                && (layout.offset, layout.row_pitch) == (0, shape.row_bytes());
            if fits && self.device.bind_image_memory(image, self.memory, first).is_ok() {
                return Some(image);
            }
            self.device.destroy_image(image, None);
            None
        }
    }
}

impl Memory {
    /// A texture over the memory from byte `first` on; nothing where the driver would lay it out in another
    /// way.
    pub fn texture(
        &self,
        device: &wgpu::Device,
        shape: &Shape,
        first: u64,
    ) -> Option<wgpu::Texture> {
        // SAFETY: nothing is destroyed.
        let hal = unsafe { device.as_hal::<Vulkan>() }?;
        let image = self.0.image(shape, first)?;
        let owned = Arc::clone(&self.0);
        // SAFETY: the device outlives what was made on it; `wgpu` no longer uses the image.
        let on_drop = move || unsafe { owned.device.destroy_image(image, None) };
        let descriptor = shape.descriptor(wgpu::TextureUsages::STORAGE_BINDING);
        let state = wgpu::TextureUses::STORAGE_READ_ONLY;
        let hal_descriptor = wgpu::hal::TextureDescriptor {
            label: None,
            size: descriptor.size,
            mip_level_count: 1,
            sample_count: 1,
            dimension: descriptor.dimension,
            format: descriptor.format,
            usage: state,
            memory_flags: wgpu::hal::MemoryFlags::empty(),
            view_formats: Vec::new(),
        };
        // SAFETY: the image is of this device and of that descriptor; the callback keeps its memory.
        unsafe {
            let raw = hal.texture_from_raw(
                image,
                &hal_descriptor,
                Some(Box::new(on_drop)),
                TextureMemory::External,
            );
            drop(hal);
            Some(device.create_texture_from_hal::<Vulkan>(raw, &descriptor, state))
        }
    }
}
