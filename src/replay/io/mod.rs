//! The io_uring, and the memory that I/O goes through.

pub mod files;
pub mod memory;
pub mod ring;
