//! Mesa's compiler for AMD's GPUs, without one.

use std::ffi::CStr;
use std::fmt;

use ash::{Device, Entry, Instance, khr, vk};

/// A device of the driver's that compiles and runs nothing.
pub struct Compiler {
    device: Device,
    /// Rows and columns of the fragments of f16, with sums in f32, that it multiplies.
    fragments: Vec<u32>,
    executables: khr::pipeline_executable_properties::Device,
    instance: Instance,
    _entry: Entry,
}

/// What the driver says of a compiled kernel, of one of its invocations' vector unless a unit is named.
pub struct Statistics {
    values: Vec<(String, u64)>,
}

impl Compiler {
    /// The driver's device for a GPU of `family`, such as `navi21`; none where there is no such driver or family.
    ///
    /// The driver reads the family from the environment: call it before there are other threads that read that.
    pub fn for_family(family: &str) -> Option<Self> {
        // SAFETY: the test's harness has no other test that reads the environment meanwhile.
        unsafe { std::env::set_var("RADV_FORCE_FAMILY", family) };
        // SAFETY: all handles are used below as Vulkan demands, and destroyed in `drop`.
        unsafe {
            let entry = Entry::load().ok()?;
            let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
            let info = vk::InstanceCreateInfo::default().application_info(&application);
            let instance = entry.create_instance(&info, None).ok()?;
            let Some((device, fragments)) = open(&entry, &instance) else {
                instance.destroy_instance(None);
                return None;
            };
            let executables = khr::pipeline_executable_properties::Device::new(&instance, &device);
            Some(Self { device, fragments, executables, instance, _entry: entry })
        }
    }

    /// Whether it multiplies fragments of f16 of so many rows and columns.
    pub fn multiplies(&self, extent: u32) -> bool {
        self.fragments.contains(&extent)
    }

    /// Compiles a kernel called `main` of one descriptor set.
    pub fn statistics(&self, spirv: &[u32]) -> Statistics {
        let device = &self.device;
        // SAFETY: as above; the handles live until they are destroyed here.
        unsafe {
            let module = vk::ShaderModuleCreateInfo::default().code(spirv);
            let module = device.create_shader_module(&module, None).expect("a module");
            let bindings: Vec<_> = (0..MOST_BINDINGS)
                .map(|binding| {
                    vk::DescriptorSetLayoutBinding::default()
                        .binding(binding)
                        .descriptor_type(match binding {
                            0 => vk::DescriptorType::UNIFORM_BUFFER,
                            _ => vk::DescriptorType::STORAGE_BUFFER,
                        })
                        .descriptor_count(1)
                        .stage_flags(vk::ShaderStageFlags::COMPUTE)
                })
                .collect();
            let sets = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
            let sets = [device.create_descriptor_set_layout(&sets, None).expect("a set's layout")];
            let layout = vk::PipelineLayoutCreateInfo::default().set_layouts(&sets);
            let layout = device.create_pipeline_layout(&layout, None).expect("a layout");
            let stage = vk::PipelineShaderStageCreateInfo::default()
                .stage(vk::ShaderStageFlags::COMPUTE)
                .module(module)
                .name(c"main");
            let info = vk::ComputePipelineCreateInfo::default()
                .flags(vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR)
                .stage(stage)
                .layout(layout);
            let pipelines =
                device.create_compute_pipelines(vk::PipelineCache::null(), &[info], None);
            let pipeline = pipelines.expect("a pipeline")[0];
            let executable = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline);
            let values = self
                .executables
                .get_pipeline_executable_statistics(&executable)
                .expect("statistics")
                .iter()
                .map(|statistic| {
                    let name = CStr::from_ptr(statistic.name.as_ptr()).to_string_lossy();
                    (name.into_owned(), statistic.value.u64)
                })
                .collect();
            device.destroy_pipeline(pipeline, None);
            device.destroy_pipeline_layout(layout, None);
            device.destroy_descriptor_set_layout(sets[0], None);
            device.destroy_shader_module(module, None);
            Statistics { values }
        }
    }
}

/// Bindings of a kernel at most: its parameters and eight tensors.
const MOST_BINDINGS: u32 = 9;

impl Drop for Compiler {
    fn drop(&mut self) {
        // SAFETY: nothing else of either is left.
        unsafe {
            self.device.destroy_device(None);
            self.instance.destroy_instance(None);
        }
    }
}

/// Opens the GPU that is not there, and says which fragments it multiplies.
///
/// # Safety
/// As Vulkan's calls.
unsafe fn open(entry: &Entry, instance: &Instance) -> Option<(Device, Vec<u32>)> {
    // SAFETY: the handles are the instance's own.
    unsafe {
        let is_null = |gpu: &vk::PhysicalDevice| {
            let properties = instance.get_physical_device_properties(*gpu);
            let name = properties.device_name_as_c_str().unwrap_or_default();
            name.to_bytes().starts_with(b"Null hardware")
        };
        let gpu = instance.enumerate_physical_devices().ok()?.into_iter().find(is_null)?;
        let offered = instance.enumerate_device_extension_properties(gpu).ok()?;
        let has_fragments = offered
            .iter()
            .any(|it| it.extension_name_as_c_str() == Ok(khr::cooperative_matrix::NAME));
        let queues =
            [vk::DeviceQueueCreateInfo::default().queue_family_index(0).queue_priorities(&[1.0])];
        let mut extensions = vec![khr::pipeline_executable_properties::NAME.as_ptr()];
        let mut statistics = vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default()
            .pipeline_executable_info(true);
        let mut matrices =
            vk::PhysicalDeviceCooperativeMatrixFeaturesKHR::default().cooperative_matrix(true);
        let mut halves = vk::PhysicalDeviceVulkan11Features::default()
            .storage_buffer16_bit_access(true)
            .uniform_and_storage_buffer16_bit_access(true);
        let mut more = vk::PhysicalDeviceVulkan12Features::default()
            .shader_float16(true)
            .vulkan_memory_model(true);
        if has_fragments {
            extensions.push(khr::cooperative_matrix::NAME.as_ptr());
        }
        let mut info = vk::DeviceCreateInfo::default()
            .queue_create_infos(&queues)
            .enabled_extension_names(&extensions)
            .push_next(&mut statistics)
            .push_next(&mut halves)
            .push_next(&mut more);
        if has_fragments {
            info = info.push_next(&mut matrices);
        }
        let device = instance.create_device(gpu, &info, None).ok()?;
        let fragments = if has_fragments { fragments(entry, instance, gpu) } else { Vec::new() };
        Some((device, fragments))
    }
}

/// Rows and columns of the square fragments of f16 with sums in f32.
///
/// # Safety
/// As Vulkan's calls, of a GPU that has such an extension.
unsafe fn fragments(entry: &Entry, instance: &Instance, gpu: vk::PhysicalDevice) -> Vec<u32> {
    let matrices = khr::cooperative_matrix::Instance::new(entry, instance);
    // SAFETY: the handles are the instance's own.
    let shapes = unsafe { matrices.get_physical_device_cooperative_matrix_properties(gpu) };
    let [half, single] = [vk::ComponentTypeKHR::FLOAT16, vk::ComponentTypeKHR::FLOAT32];
    let suits = |shape: &vk::CooperativeMatrixPropertiesKHR<'_>| {
        [shape.n_size, shape.k_size] == [shape.m_size; 2]
            && [shape.a_type, shape.b_type, shape.c_type, shape.result_type]
                == [half, half, single, single]
    };
    shapes.unwrap_or_default().iter().filter(|shape| suits(shape)).map(|it| it.m_size).collect()
}

impl Statistics {
    /// What the driver calls the figures of a row.
    const NAMES: [&str; 7] = [
        "VGPRs",
        "SGPRs",
        "Spilled VGPRs",
        "Spilled SGPRs",
        "Scratch size",
        "LDS size",
        "Subgroups per SIMD",
    ];
    /// The same, as headings.
    pub const HEADINGS: [&str; 7] = [
        "vector registers",
        "scalar registers",
        "spilled vector registers",
        "spilled scalar registers",
        "scratch, bytes",
        "workgroup memory, bytes",
        "subgroups a SIMD",
    ];

    fn get(&self, name: &str) -> u64 {
        let found = self.values.iter().find(|(own, _)| own == name);
        found.unwrap_or_else(|| panic!("{name} is none of {:?}", self.values)).1
    }

    /// Whether values are kept in memory that should be in registers.
    pub fn spills(&self) -> bool {
        ["Spilled VGPRs", "Spilled SGPRs", "Scratch size"].iter().any(|name| self.get(name) > 0)
    }
}

/// The cells of a row.
impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cells: Vec<String> =
            Self::NAMES.iter().map(|name| self.get(name).to_string()).collect();
        f.write_str(&cells.join(" | "))
    }
}
