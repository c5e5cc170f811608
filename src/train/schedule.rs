//! The learning rate over a run.

use serde::{Deserialize, Serialize};

/// Linear warm-up, then half a cosine, per step (`adjust_learning_rate` of facebookresearch/mae).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Highest learning rate.
    pub lr: f64,
    /// Learning rate in the end.
    pub min_lr: f64,
    /// Steps of the warm-up.
    pub warmup_steps: u64,
    /// Steps of the whole run.
    pub total_steps: u64,
}

impl Schedule {
    /// Learning rate of `step`, counted from 0: `lr · step / warmup_steps` while warming up, so the
    /// first step only feeds the moments.
    pub fn at(&self, step: u64) -> f64 {
        if step < self.warmup_steps {
            return self.lr * step as f64 / self.warmup_steps as f64;
        }
        let rest = self.total_steps.saturating_sub(self.warmup_steps).max(1);
        let progress = ((step - self.warmup_steps) as f64 / rest as f64).min(1.0);
        let cosine = 0.5 * (1.0 + (std::f64::consts::PI * progress).cos());
        self.min_lr + (self.lr - self.min_lr) * cosine
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warms_up_linearly_and_ends_at_the_minimum() {
        let schedule = Schedule { lr: 1.0, min_lr: 0.1, warmup_steps: 10, total_steps: 110 };
        assert_eq!(schedule.at(0), 0.0);
        assert_eq!(schedule.at(5), 0.5);
        assert_eq!(schedule.at(10), 1.0);
        assert!((schedule.at(60) - 0.55).abs() < 1e-12);
        assert!((schedule.at(110) - 0.1).abs() < 1e-12);
        assert!((schedule.at(1000) - 0.1).abs() < 1e-12);
    }

    #[test]
    fn without_warm_up_it_begins_at_the_top() {
        let schedule = Schedule { lr: 0.5, min_lr: 0.0, warmup_steps: 0, total_steps: 1 };
        assert_eq!(schedule.at(0), 0.5);
    }
}
