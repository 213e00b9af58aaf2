//! The io_uring, and the memory that I/O goes through.

pub mod copy;
pub mod files;
pub mod memory;
pub mod ring;
pub mod setup;
