//! Tensors as textures. Some CPU drivers (Mesa's llvmpipe) gather a storage buffer's lanes one by
//! one through memory, tens of times slower than they read texels. Kernels with texture operands are for
//! those drivers: what they read is a texture over the tensor's own memory (`gpu::alias`), or else a copy,
//! which takes about a tenth of a training step.

use super::{Allocation, Buffer, Gpu, Precision};

/// Vectors of four values in a row of a texture; the kernels' `texel` has the same number.
pub(super) const WIDTH: u64 = 1024;
/// Values of a texel.
const TEXEL: u64 = 4;
/// Most rows on every adapter (WebGPU's default limit).
pub(super) const MAX_ROWS: u64 = 8192;

/// What a kernel binds for an operand of `precision`.
pub(super) fn binding(precision: Precision) -> wgpu::BindingType {
    wgpu::BindingType::StorageTexture {
        access: wgpu::StorageTextureAccess::ReadOnly,
        format: format(precision),
        view_dimension: wgpu::TextureViewDimension::D2,
    }
}

fn format(precision: Precision) -> wgpu::TextureFormat {
    match precision {
        Precision::F32 => wgpu::TextureFormat::Rgba32Float,
        Precision::F16 => wgpu::TextureFormat::Rgba16Float,
    }
}

/// Whether a tensor of so many values can be a texture: whole vectors, and not too many.
pub fn fits(values: usize) -> bool {
    (values as u64).is_multiple_of(TEXEL) && values as u64 <= MAX_ROWS * WIDTH * TEXEL
}

/// Which texture holds a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub precision: Precision,
    rows: u64,
}

impl Shape {
    /// For a tensor of `bytes` bytes.
    pub fn new(precision: Precision, bytes: u64) -> Self {
        let row = WIDTH * TEXEL * precision.bytes();
        Self { precision, rows: bytes.div_ceil(row).max(1) }
    }

    /// Bytes of a row.
    pub fn row_bytes(&self) -> u64 {
        WIDTH * TEXEL * self.precision.bytes()
    }

    /// Texels, rows of texels.
    pub fn size(&self) -> wgpu::Extent3d {
        extent(WIDTH, self.rows)
    }

    /// What to create.
    pub fn descriptor(&self, usage: wgpu::TextureUsages) -> wgpu::TextureDescriptor<'static> {
        wgpu::TextureDescriptor {
            label: Some("operand"),
            size: self.size(),
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: format(self.precision),
            usage,
            view_formats: &[],
        }
    }
}

impl Buffer {
    /// `bytes` bytes from byte `first` on as a texture without a copy, where the device has such.
    pub(super) fn overlay(
        &self,
        gpu: &Gpu,
        precision: Precision,
        first: u64,
        bytes: u64,
    ) -> Option<wgpu::TextureView> {
        let shape = Shape::new(precision, bytes);
        let texture = self.memory.as_ref()?.texture(&gpu.inner.device, &shape, first)?;
        Some(texture.create_view(&wgpu::TextureViewDescriptor::default()))
    }
}

/// A texture that one binding of many kernels uses in turn.
pub(super) struct Scratch {
    raw: wgpu::Texture,
    shape: Shape,
    _allocation: Allocation,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.raw.destroy();
    }
}

impl Scratch {
    /// Room for tensors of up to `bytes` bytes.
    pub fn new(gpu: &Gpu, precision: Precision, bytes: u64) -> Self {
        let shape = Shape::new(precision, bytes);
        let usage = wgpu::TextureUsages::COPY_DST | wgpu::TextureUsages::STORAGE_BINDING;
        let raw = gpu.inner.device.create_texture(&shape.descriptor(usage));
        Self { raw, shape, _allocation: gpu.account(shape.rows * shape.row_bytes()) }
    }

    pub fn view(&self) -> wgpu::TextureView {
        self.raw.create_view(&wgpu::TextureViewDescriptor::default())
    }

    /// Copies `bytes` bytes from byte `offset` of `source` into it: whole rows, then the rest of the last
    /// one.
    pub fn encode_copy(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        source: &wgpu::Buffer,
        offset: u64,
        bytes: u64,
    ) {
        let row = self.shape.row_bytes();
        let texel = row / WIDTH;
        let (rows, rest) = (bytes / row, bytes % row / texel);
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
                    texture: &self.raw,
                    mip_level: 0,
                    origin: wgpu::Origin3d { x: 0, y: first_row as u32, z: 0 },
                    aspect: wgpu::TextureAspect::All,
                },
                extent(width, height),
            );
        }
    }
}

fn extent(width: u64, height: u64) -> wgpu::Extent3d {
    wgpu::Extent3d { width: width as u32, height: height as u32, depth_or_array_layers: 1 }
}
