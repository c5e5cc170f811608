//! Cooperative matrices (tensor cores): what an adapter offers of those that kernels use.

use super::Precision;

/// The fragments of matrices that subgroups of an adapter multiply, with sums in f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize)]
pub struct CooperativeMatrices {
    /// Rows and columns of fragments whose operands are in f32.
    pub f32: Option<u32>,
    /// Rows and columns of fragments whose operands are in f16.
    pub f16: Option<u32>,
    /// The fewest and the most invocations that a subgroup has.
    pub subgroup_sizes: [u32; 2],
}

impl CooperativeMatrices {
    /// What a device must be opened with.
    pub(super) const FEATURES: wgpu::Features =
        wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX.union(wgpu::Features::SUBGROUP);

    /// What `adapter` offers.
    pub(super) fn of(adapter: &wgpu::Adapter) -> Self {
        let (features, info) = (adapter.features(), adapter.get_info());
        // llvmpipe is right with its usual vectors of eight: with four it lists fragments while it denies the
        // feature (`wgpu` reads the list, and panics when the device is opened), with sixteen it crashes.
        let is_broken = info.device_type == wgpu::DeviceType::Cpu && info.subgroup_max_size != 8;
        if !features.contains(Self::FEATURES) || is_broken {
            return Self::default();
        }
        let shapes = adapter.cooperative_matrix_properties();
        let extent = |operands| {
            // WGSL has square fragments of two sizes; of large ones a subgroup needs fewer.
            [16, 8].into_iter().find(|&extent| {
                shapes.iter().any(|shape| {
                    [shape.m_size, shape.n_size, shape.k_size] == [extent; 3]
                        && shape.ab_type == operands
                        && shape.cr_type == wgpu::CooperativeScalarType::F32
                })
            })
        };
        Self {
            f32: extent(wgpu::CooperativeScalarType::F32),
            f16: extent(wgpu::CooperativeScalarType::F16)
                .filter(|_| features.contains(wgpu::Features::SHADER_F16)),
            subgroup_sizes: match info.backend {
                // Reported as 4 to 64 for all; every GPU of Apple's that has fragments has 32.
                wgpu::Backend::Metal => [32; 2],
                _ => [info.subgroup_min_size, info.subgroup_max_size],
            },
        }
    }

    /// Rows and columns of fragments whose operands are kept in `precision`, if there are such.
    pub fn extent(self, precision: Precision) -> Option<u32> {
        match precision {
            Precision::F32 => self.f32,
            Precision::F16 => self.f16,
        }
    }

    /// Whether subgroups of a kernel may have one of several sizes.
    pub fn subgroup_size_varies(self) -> bool {
        self.subgroup_sizes[0] != self.subgroup_sizes[1]
    }

    /// Which fragments there are, in words.
    pub fn describe(self) -> String {
        let kinds = [("f16", self.f16), ("f32", self.f32)];
        let kinds = kinds.map(|(name, extent)| extent.map(|n| format!("{name} {n}×{n}")));
        let kinds: Vec<String> = kinds.into_iter().flatten().collect();
        if kinds.is_empty() { "none".to_owned() } else { kinds.join(", ") }
    }

    /// Whether there are fragments of any kind.
    pub fn any(self) -> bool {
        self.f32.is_some() || self.f16.is_some()
    }
}
