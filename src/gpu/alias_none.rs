//! Where textures cannot share a buffer's memory: see `alias.rs`.

use super::texture::Shape;

/// Memory that textures could share: there is none.
pub(super) enum Memory {}

pub(super) fn is_offered(_: &wgpu::Device) -> bool {
    false
}

pub(super) fn buffer(
    _: &wgpu::Device,
    _: &wgpu::Queue,
    _: &wgpu::BufferDescriptor<'_>,
) -> Option<(wgpu::Buffer, Memory)> {
    None
}

impl Memory {
    pub fn texture(&self, _: &wgpu::Device, _: &Shape, _: u64) -> Option<wgpu::Texture> {
        match *self {}
    }
}
