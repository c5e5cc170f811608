//! Which adapter runs the work: by number, by name, or the fastest kind there is.

use super::cooperative;
use crate::error::{Error, Result};
use crate::kernels::CooperativeMatrices;

/// What is known of an adapter before it is used.
#[derive(Debug, Clone, serde::Serialize)]
pub struct AdapterSummary {
    /// Name given by the driver.
    pub name: String,
    /// Graphics API, e.g. `vulkan`.
    pub backend: String,
    /// Discrete, integrated, virtual or software.
    pub kind: &'static str,
    /// Driver and its version.
    pub driver: String,
    /// Largest storage binding in bytes.
    pub max_binding: u64,
    /// Largest buffer in bytes.
    pub max_buffer: u64,
    /// Storage buffers that one kernel may bind.
    pub storage_buffers: u32,
    /// Invocations in one workgroup.
    pub workgroup_invocations: u32,
    /// Bytes that the invocations of a workgroup share.
    pub workgroup_memory: u32,
    /// Fragments of matrices that its subgroups multiply.
    pub cooperative: CooperativeMatrices,
    /// Names of the optional features that it offers.
    pub features: Vec<String>,
}

/// [`AdapterSummary::kind`] of a driver that runs shaders on the processor.
const SOFTWARE: &str = "software (CPU)";

impl AdapterSummary {
    /// Whether its driver runs shaders on the processor.
    pub fn is_software(&self) -> bool {
        self.kind == SOFTWARE
    }
}

/// The adapters of this machine, best kind first. `WGPU_BACKEND` limits the search.
pub async fn list_adapters() -> Vec<AdapterSummary> {
    let instance = new_instance();
    candidates(&instance).await.iter().map(summarize).collect()
}

pub(super) fn new_instance() -> wgpu::Instance {
    wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env())
}

pub(super) fn summarize(adapter: &wgpu::Adapter) -> AdapterSummary {
    let (info, limits) = (adapter.get_info(), adapter.limits());
    AdapterSummary {
        name: info.name,
        backend: info.backend.to_string(),
        kind: kind(info.device_type),
        driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
        max_binding: limits.max_storage_buffer_binding_size,
        max_buffer: limits.max_buffer_size,
        storage_buffers: limits.max_storage_buffers_per_shader_stage,
        workgroup_invocations: limits.max_compute_invocations_per_workgroup,
        workgroup_memory: limits.max_compute_workgroup_storage_size,
        cooperative: cooperative::offered_by(adapter),
        features: adapter.features().iter_names().map(|(name, _)| name.to_owned()).collect(),
    }
}

fn kind(device_type: wgpu::DeviceType) -> &'static str {
    match device_type {
        wgpu::DeviceType::DiscreteGpu => "discrete GPU",
        wgpu::DeviceType::IntegratedGpu => "integrated GPU",
        wgpu::DeviceType::VirtualGpu => "virtual GPU",
        wgpu::DeviceType::Cpu => SOFTWARE,
        wgpu::DeviceType::Other => "unknown kind",
    }
}

/// The adapter that a browser gives for the fastest one: it shows no list.
#[cfg(target_family = "wasm")]
async fn candidates(instance: &wgpu::Instance) -> Vec<wgpu::Adapter> {
    let options = wgpu::RequestAdapterOptions {
        power_preference: wgpu::PowerPreference::HighPerformance,
        ..Default::default()
    };
    instance.request_adapter(&options).await.into_iter().collect()
}

#[cfg(not(target_family = "wasm"))]
async fn candidates(instance: &wgpu::Instance) -> Vec<wgpu::Adapter> {
    let mut adapters = instance.enumerate_adapters(wgpu::Backends::all()).await;
    // A stable sort keeps the driver's own order within a kind.
    adapters.sort_by_key(|adapter| match adapter.get_info().device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    });
    adapters
}

#[cfg(not(target_family = "wasm"))]
const NOTHING_FOUND: &str = "found none; install a Vulkan driver (on Debian or Ubuntu without a GPU: \
                             apt-get install mesa-vulkan-drivers)";
#[cfg(target_family = "wasm")]
const NOTHING_FOUND: &str = "this browser offers none; switch hardware acceleration on in its \
                             settings, or update the graphics driver";

/// The adapter that `wanted` names: its number in [`list_adapters`], or a part of its name in any
/// case. Without it `WGPU_ADAPTER_NAME` decides, then the order of the list.
pub(super) async fn choose(
    instance: &wgpu::Instance,
    wanted: Option<&str>,
) -> Result<wgpu::Adapter> {
    let mut adapters = candidates(instance).await;
    if adapters.is_empty() {
        return Err(Error::NoAdapter { problem: NOTHING_FOUND.to_owned(), remedies: Vec::new() });
    }
    let chosen = place(&adapters, wanted)?;
    Ok(adapters.swap_remove(chosen))
}

/// A browser gives one, and says little of it to choose by.
#[cfg(target_family = "wasm")]
fn place(_: &[wgpu::Adapter], _: Option<&str>) -> Result<usize> {
    Ok(0)
}

/// What `WGPU_BACKEND` limits the search to, if it is set.
///
/// # Errors
/// [`Error::NoAdapter`] if a word of it is no backend: nothing would be found, and nobody knew why.
#[cfg(not(target_family = "wasm"))]
pub fn backend_from_env() -> Result<Option<String>> {
    let Some(value) = std::env::var_os("WGPU_BACKEND") else { return Ok(None) };
    let value = value.to_string_lossy().into_owned();
    match value.split(',').find(|word| wgpu::Backends::from_comma_list(word).is_empty()) {
        None => Ok(Some(value)),
        Some(word) => Err(Error::NoAdapter {
            remedies: Vec::new(),
            problem: format!(
                "the environment variable WGPU_BACKEND has {word:?}, which is no backend; unset it, or set it to \
                 vulkan, metal or dx12"
            ),
        }),
    }
}

/// The adapter that `WGPU_ADAPTER_NAME` names.
#[cfg(not(target_family = "wasm"))]
pub fn adapter_from_env() -> Option<String> {
    std::env::var("WGPU_ADAPTER_NAME").ok().filter(|name| !name.is_empty())
}

/// Where the wanted one is among `adapters`.
#[cfg(not(target_family = "wasm"))]
fn place(adapters: &[wgpu::Adapter], wanted: Option<&str>) -> Result<usize> {
    let from_env = adapter_from_env();
    let Some(wanted) = wanted.or(from_env.as_deref()) else { return Ok(0) };
    let by_number = wanted.parse::<usize>().ok().filter(|&i| i < adapters.len());
    let lower = wanted.to_lowercase();
    let by_name =
        || adapters.iter().position(|a| a.get_info().name.to_lowercase().contains(&lower));
    by_number.or_else(by_name).ok_or_else(|| {
        let names: Vec<String> = adapters
            .iter()
            .enumerate()
            .map(|(i, adapter)| format!("{i}: {}", adapter.get_info().name))
            .collect();
        let problem = format!("{wanted:?} matches none of {}", names.join("; "));
        Error::NoAdapter { problem, remedies: Vec::new() }
    })
}
