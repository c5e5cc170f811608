//! Tensors as textures. Some CPU drivers (Mesa's lavapipe) gather a storage buffer's lanes one by
//! one through memory, tens of times slower than they read texels; copying a tensor into a texture
//! first costs next to nothing there. Kernels with texture operands are for those drivers.

use super::{Allocation, Gpu};

/// Vectors of four f32 in a row of a texture; the kernels' `texel` has the same number.
const WIDTH: u64 = 1024;
/// Bytes of a texel.
const TEXEL: u64 = 16;
/// Most rows on every adapter (WebGPU's default limit).
const MAX_ROWS: u64 = 8192;

/// What a kernel binds.
pub(super) const BINDING: wgpu::BindingType = wgpu::BindingType::StorageTexture {
    access: wgpu::StorageTextureAccess::ReadOnly,
    format: wgpu::TextureFormat::Rgba32Float,
    view_dimension: wgpu::TextureViewDimension::D2,
};

/// Whether a tensor of so many bytes can be copied into a texture: whole vectors, and not too many.
pub fn fits(bytes: u64) -> bool {
    bytes.is_multiple_of(TEXEL) && bytes <= MAX_ROWS * WIDTH * TEXEL
}

/// A texture that one binding of many kernels uses in turn.
pub(super) struct Scratch {
    raw: wgpu::Texture,
    _allocation: Allocation,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.raw.destroy();
    }
}

impl Scratch {
    /// Room for tensors of up to `bytes` bytes.
    pub fn new(gpu: &Gpu, bytes: u64) -> Self {
        let height = bytes.div_ceil(WIDTH * TEXEL).max(1);
        let raw = gpu.inner.device.create_texture(&wgpu::TextureDescriptor {
            label: Some("operand"),
            size: extent(WIDTH, height),
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: wgpu::TextureFormat::Rgba32Float,
            usage: wgpu::TextureUsages::COPY_DST | wgpu::TextureUsages::STORAGE_BINDING,
            view_formats: &[],
        });
        Self { raw, _allocation: gpu.account(height * WIDTH * TEXEL) }
    }

    pub fn view(&self) -> wgpu::TextureView {
        self.raw.create_view(&wgpu::TextureViewDescriptor::default())
    }

    pub fn raw(&self) -> &wgpu::Texture {
        &self.raw
    }
}

/// Copies `bytes` bytes from byte `offset` of `source` into `target`: whole rows, then the rest of
/// the last one.
pub(super) fn encode_copy(
    encoder: &mut wgpu::CommandEncoder,
    source: &wgpu::Buffer,
    offset: u64,
    bytes: u64,
    target: &wgpu::Texture,
) {
    let row = WIDTH * TEXEL;
    let (rows, rest) = (bytes / row, bytes % row / TEXEL);
    for (first_row, width, height) in [(0, WIDTH, rows), (rows, rest, 1)] {
        if width * height == 0 {
            continue;
        }
        encoder.copy_buffer_to_texture(
            wgpu::TexelCopyBufferInfo {
                buffer: source,
                layout: wgpu::TexelCopyBufferLayout {
                    offset: offset + first_row * row,
                    bytes_per_row: Some(row as u32),
                    rows_per_image: None,
                },
            },
            wgpu::TexelCopyTextureInfo {
                texture: target,
                mip_level: 0,
                origin: wgpu::Origin3d { x: 0, y: first_row as u32, z: 0 },
                aspect: wgpu::TextureAspect::All,
            },
            extent(width, height),
        );
    }
}

fn extent(width: u64, height: u64) -> wgpu::Extent3d {
    wgpu::Extent3d { width: width as u32, height: height as u32, depth_or_array_layers: 1 }
}
