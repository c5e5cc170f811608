//! The device that a command works on.

use super::{compiling, tiles};
use crate::error::Result;
use crate::program::{Device, DeviceOptions, Opened};

/// Opens the device that `options` ask for, with the tiles that suit it.
pub(super) fn open(options: &DeviceOptions) -> Result<Opened> {
    let opened = pollster::block_on(options.open())?;
    if let Some(gpu) = opened.device.gpu() {
        gpu.on_compile(compiling::counter());
        tiles::apply(gpu);
    }
    Ok(opened)
}

/// [`open`], where the reason does not matter.
pub(super) fn open_device(options: &DeviceOptions) -> Result<Device> {
    Ok(open(options)?.device)
}
