//! Which device runs the work.

use super::device::Device;
use crate::cpu::Cpu;
use crate::error::{Error, Result};
use crate::gpu::{
    AdapterSummary, Gpu, GpuOptions, adapter_from_env, backend_from_env, list_adapters,
};
use crate::remedy::Remedy;
use crate::setting::Setting;

/// What to run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum DeviceChoice {
    /// a GPU if there is one, else the processor
    #[default]
    Auto,
    /// a GPU
    Gpu,
    /// the processor
    Cpu,
}

impl DeviceChoice {
    /// The choice by its name, if there was one.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Auto => None,
            Self::Gpu => Some("gpu"),
            Self::Cpu => Some("cpu"),
        }
    }
}

/// How to open a device.
#[derive(Debug, Clone, Default)]
pub struct DeviceOptions {
    /// What to run on; an adapter that is named is a choice, too.
    pub choice: DeviceChoice,
    /// How to open a GPU.
    pub gpu: GpuOptions,
}

/// A device and the reason for it.
pub struct Opened {
    /// The device.
    pub device: Device,
    /// Why it is this one, in words.
    pub why: String,
}

impl DeviceOptions {
    /// Opens the device: the adapter that is named, by option or by `WGPU_ADAPTER_NAME`; else a hardware GPU if there
    /// is one; else the processor. Software drivers are taken by name only.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] if a GPU is wanted and none fits, [`Error::Device`] if it cannot be opened.
    pub async fn open(&self) -> Result<Opened> {
        let cpu = |why: &str| Opened { device: Cpu::default().into(), why: why.to_owned() };
        if self.choice == DeviceChoice::Cpu {
            return Ok(cpu("asked for"));
        }
        let backend = backend_from_env()?;
        let named = self.gpu.adapter.clone().or_else(adapter_from_env);
        if let Some(name) = named {
            let why = format!("the adapter that is called {name:?}");
            return Ok(Opened { device: Gpu::new(&self.gpu).await?.into(), why });
        }
        let adapters = list_adapters().await;
        let hardware = adapters.iter().filter(|adapter| !adapter.is_software()).count();
        let missing = || missing(&adapters, backend.as_deref());
        match (hardware, self.choice) {
            (0, DeviceChoice::Gpu) => {
                let named = adapters.first().map(|software| software.name.clone());
                Err(Error::NoAdapter { problem: missing(), remedies: elsewhere(named) })
            }
            (0, _) => Ok(cpu(&format!("{}, so the CPU twins run", missing()))),
            _ => {
                let why = match (self.choice, hardware) {
                    (DeviceChoice::Gpu, _) => "asked for".to_owned(),
                    (_, 1) => "the only GPU".to_owned(),
                    (_, n) => format!("the first of {n} GPUs"),
                };
                Ok(Opened { device: Gpu::new(&self.gpu).await?.into(), why })
            }
        }
    }
}

/// Why there is no hardware GPU.
fn missing(adapters: &[AdapterSummary], backend: Option<&str>) -> String {
    let limit = backend.map_or(String::new(), |backend| format!(" with WGPU_BACKEND={backend}"));
    match adapters.first() {
        None => format!("no GPU was found{limit}"),
        Some(software) => {
            format!("only a software driver was found{limit} ({})", software.name)
        }
    }
}

/// What runs where there is no GPU: the processor, or the software driver called `name`, if there is one.
fn elsewhere(name: Option<String>) -> Vec<Remedy> {
    let software = name.map(|name| Remedy::set(Setting::Adapter, format!("{name:?}")));
    [Remedy::set(Setting::Device, "cpu")].into_iter().chain(software).collect()
}
