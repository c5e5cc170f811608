//! Threads that work on one loop after the other, for as long as a list of launches runs.
//!
//! Between two loops lie microseconds, which is why the threads wait for the next one without going to sleep: a
//! step has hundreds of loops, and waking a thread takes longer than many of them.

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::hint::spin_loop;
use std::mem::transmute;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::yield_now;

/// Looks for work before a thread lets others run, some 50 µs.
const PATIENCE: u32 = 2000;
/// Most indices of a loop.
const MAX_COUNT: usize = 1 << 31;

thread_local! {
    static ROLE: Cell<Role> = const { Cell::new(Role::Outside) };
}

/// What the current thread is to a team.
#[derive(Clone, Copy)]
enum Role {
    Outside,
    /// It gives the team its loops. The team outlives the role.
    Leads(*const Team),
    /// It is inside a loop's body.
    Works,
}

/// Puts back the role before it.
struct RoleGuard(Role);

impl RoleGuard {
    fn set(role: Role) -> Self {
        Self(ROLE.replace(role))
    }
}

impl Drop for RoleGuard {
    fn drop(&mut self) {
        ROLE.set(self.0);
    }
}

type Body<'a> = dyn Fn(usize) + Sync + 'a;

/// A leader and its helpers.
struct Team {
    /// The loop's count above, its next index below: one atomic step claims an index of a certain loop.
    claims: AtomicU64,
    /// The loop's body. It is valid while an index that was claimed is not done.
    body: UnsafeCell<Option<&'static Body<'static>>>,
    done: AtomicUsize,
    closed: AtomicBool,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

// SAFETY: `body` is written while nobody may read it, see `run`.
unsafe impl Sync for Team {}

/// Calls `work` with a team of all threads of the current pool, for the loops that it runs by [`each`].
pub fn gather<R>(work: impl FnOnce() -> R) -> R {
    let helpers = rayon::current_num_threads() - 1;
    if helpers == 0 || !matches!(ROLE.get(), Role::Outside) {
        return work();
    }
    let team = Team {
        claims: AtomicU64::new(0),
        body: UnsafeCell::new(None),
        done: AtomicUsize::new(0),
        closed: AtomicBool::new(false),
        panic: Mutex::new(None),
    };
    rayon::in_place_scope(|scope| {
        for _ in 0..helpers {
            scope.spawn(|_| team.help());
        }
        // Also when `work` panics: the scope waits for the helpers.
        let _close = CloseGuard(&team);
        let _role = RoleGuard::set(Role::Leads(&team));
        work()
    })
}

struct CloseGuard<'a>(&'a Team);

impl Drop for CloseGuard<'_> {
    fn drop(&mut self) {
        self.0.closed.store(true, Ordering::Release);
    }
}

/// Calls `body` with 0 to `count`, in any order, on all threads of the team.
pub fn each(count: usize, body: &Body<'_>) {
    match ROLE.get() {
        _ if count <= 1 => (0..count).for_each(body),
        // SAFETY: a team outlives its leader's role.
        Role::Leads(team) => unsafe { &*team }.run(count, body),
        Role::Works => (0..count).for_each(body),
        Role::Outside if rayon::current_num_threads() == 1 => (0..count).for_each(body),
        Role::Outside => gather(|| each(count, body)),
    }
}

impl Team {
    /// Runs a loop; of the leader only.
    fn run(&self, count: usize, body: &Body<'_>) {
        assert!(count < MAX_COUNT, "a loop of few indices");
        // SAFETY: the last loop is over, so that nobody has a claim and reads this; the next claims are of this loop,
        // and this function returns when the last of them is done. Until then `body` lives.
        unsafe { *self.body.get() = Some(transmute::<&Body<'_>, &'static Body<'static>>(body)) };
        self.done.store(0, Ordering::Relaxed);
        self.claims.store((count as u64) << 32, Ordering::Release);
        self.work();
        let mut patience = PATIENCE;
        while self.done.load(Ordering::Acquire) < count {
            wait(&mut patience);
        }
        let panic = self.panic.lock().expect("no panic inside").take();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    /// Works on one loop after the other until the team is closed.
    fn help(&self) {
        let mut patience = PATIENCE;
        while !self.closed.load(Ordering::Acquire) {
            if self.work() {
                patience = PATIENCE;
            } else {
                wait(&mut patience);
            }
        }
    }

    /// Works on the present loop as long as it has indices; whether it had one.
    fn work(&self) -> bool {
        let _role = RoleGuard::set(Role::Works);
        let mut worked = false;
        while let Some(i) = self.claim() {
            worked = true;
            // SAFETY: index `i` is claimed and not done yet.
            let body = unsafe { *self.body.get() }.expect("the body of a loop");
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body(i))) {
                *self.panic.lock().expect("no panic inside") = Some(panic);
            }
            self.done.fetch_add(1, Ordering::Release);
        }
        worked
    }

    /// An index of the present loop that nobody has.
    fn claim(&self) -> Option<usize> {
        let index = |claims: u64| {
            let (count, next) = (claims >> 32, claims & u64::from(u32::MAX));
            (next < count).then_some(next as usize)
        };
        // Looking first keeps the next index within its half.
        index(self.claims.load(Ordering::Acquire))?;
        index(self.claims.fetch_add(1, Ordering::AcqRel))
    }
}

fn wait(patience: &mut u32) {
    if *patience > 0 {
        *patience -= 1;
        spin_loop();
    } else {
        yield_now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_threads<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> R {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.expect("a pool of threads").install(work)
    }

    #[test]
    fn every_index_has_its_turn_once() {
        for threads in [1, 2, 7] {
            on_threads(threads, || {
                gather(|| {
                    for count in (0..40).chain([1000]).cycle().take(2000) {
                        let calls: Vec<AtomicUsize> =
                            (0..count).map(|_| AtomicUsize::new(0)).collect();
                        each(count, &|i| {
                            calls[i].fetch_add(1, Ordering::Relaxed);
                            // A loop inside a loop.
                            each(2, &|_| ());
                        });
                        assert!(calls.iter().all(|calls| calls.load(Ordering::Relaxed) == 1));
                    }
                });
                each(5, &|_| ());
            });
        }
    }

    #[test]
    fn a_panic_reaches_the_leader_and_ends_nothing_else() {
        on_threads(3, || {
            let run = || each(100, &|i| assert!(i != 57, "fifty-seven"));
            assert!(catch_unwind(|| gather(run)).is_err());
            gather(|| assert!(catch_unwind(run).is_err()));
            gather(|| each(100, &|_| ()));
        });
    }
}
