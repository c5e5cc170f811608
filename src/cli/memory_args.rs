//! What a training step keeps on the device, shared by the commands that record one.

/// What a step keeps on the device.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct MemoryArgs {
    /// Keep only the inputs of transformer blocks and compute what lies inside again for the backward
    /// pass: much less memory, a fifth more work, the same results; a resumed run may change it
    #[arg(long, value_name = "BOOL", help_heading = "Memory")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    recompute: Option<bool>,
}

impl MemoryArgs {
    /// Whether to recompute, where a run of the past says `before`.
    pub(super) fn recompute(&self, before: bool) -> bool {
        self.recompute.unwrap_or(before)
    }
}
