//! A GPU's context, for threads that make calls about its memory.

use cudarc::driver::result;
use cudarc::driver::sys;

use super::device::words;

/// The context of an open GPU.
#[derive(Clone, Copy, Debug)]
pub struct Context(pub(super) sys::CUcontext);

// SAFETY: the CUDA driver's calls may come from any thread, for any context that is retained.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

impl Context {
    /// Makes the GPU the one that this thread's calls are about. The GPU is open.
    ///
    /// # Errors
    /// What the driver says.
    pub fn enter(self) -> Result<(), String> {
        // SAFETY: the context is retained while its GPU is open, which outlives whoever has this.
        unsafe { result::ctx::set_current(self.0) }.map_err(words)
    }
}
