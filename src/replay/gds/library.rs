//! libcufile, opened at run time: the few calls of it that a replay makes. Names, types and codes
//! are those of NVIDIA's cuFile API reference (cufile.h).

use std::ffi::{c_int, c_long, c_uint, c_void};
use std::os::fd::RawFd;
use std::sync::OnceLock;

use libloading::Library;

use super::{Carry, Controls, Failure};

/// What calls return: a code of cuFile, and one of CUDA where it is CUDA's.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct Status {
    err: c_int,
    cuda: c_int,
}

/// `CUfileDescr_t` with a descriptor in its union.
#[repr(C)]
struct Descriptor {
    kind: c_int,
    /// The union holds a pointer, and is aligned as one.
    before: c_int,
    fd: c_int,
    rest: c_int,
    operations: *const c_void,
}

/// `CUfileDrvProps_t`, with room for what later versions add at its end.
#[repr(C)]
#[derive(Default)]
struct Properties {
    major: c_uint,
    minor: c_uint,
    poll_threshold: usize,
    max_direct_io: usize,
    status: c_uint,
    control: c_uint,
    features: c_uint,
    rest: [c_uint; 29],
}

/// `CU_FILE_HANDLE_TYPE_OPAQUE_FD`.
const OPAQUE_FD: c_int = 1;
/// `CUFILE_PARAM_PROPERTIES_ALLOW_COMPAT_MODE` and `CUFILE_PARAM_FORCE_COMPAT_MODE`.
const ALLOW_COMPAT: c_int = 1;
const FORCE_COMPAT: c_int = 2;
/// Bits of the control flags: compat mode allowed, plain POSIX I/O, falling back in single I/Os.
const COMPAT_BIT: c_uint = 1 << 1;
const POSIX_BIT: c_uint = 1 << 2;
const FALLBACK_BIT: c_uint = 1 << 4;
/// Bit of the feature flags: PCI peer-to-peer transfers, which need no nvidia-fs.
const P2P_BIT: c_uint = 1 << 4;
/// `CU_FILE_CUDA_DRIVER_ERROR`: the status has CUDA's own code.
const CUDA_ERROR: c_int = 5011;

type Transfer = unsafe extern "C" fn(*mut c_void, *const c_void, usize, c_long, c_long) -> isize;

/// The calls.
struct Calls {
    open: unsafe extern "C" fn() -> Status,
    close: unsafe extern "C" fn() -> Status,
    properties: unsafe extern "C" fn(*mut Properties) -> Status,
    register_file: unsafe extern "C" fn(*mut *mut c_void, *mut Descriptor) -> Status,
    deregister_file: unsafe extern "C" fn(*mut c_void),
    register_buffer: unsafe extern "C" fn(*const c_void, usize, c_int) -> Status,
    deregister_buffer: unsafe extern "C" fn(*const c_void) -> Status,
    read: Transfer,
    write: Transfer,
    /// Since cuFile 1.14.
    set_bool: Option<unsafe extern "C" fn(c_int, bool) -> Status>,
    version: Option<unsafe extern "C" fn(*mut c_int) -> Status>,
}

/// The library stays loaded: it has threads of its own.
fn calls() -> Result<&'static Calls, String> {
    static CALLS: OnceLock<Result<Calls, String>> = OnceLock::new();
    CALLS.get_or_init(load).as_ref().map_err(Clone::clone)
}

fn load() -> Result<Calls, String> {
    // SAFETY: what the library does when it is opened is its own set-up.
    let library = ["libcufile.so.0", "libcufile.so"].iter().find_map(|name| unsafe { Library::new(*name) }.ok());
    let library = library.ok_or("no cuFile (libcufile.so.0) is here")?;
    let library = Box::leak(Box::new(library));
    macro_rules! call {
        ($name:literal) => {{
            // SAFETY: the type is the one that the API reference gives for the name.
            let found = unsafe { library.get(concat!($name, "\0").as_bytes()) };
            *found.map_err(|_| concat!("the cuFile that is here has no ", $name).to_owned())?
        }};
    }
    macro_rules! optional {
        ($name:literal) => {
            // SAFETY: as above.
            unsafe { library.get(concat!($name, "\0").as_bytes()) }.ok().map(|found| *found)
        };
    }
    Ok(Calls {
        open: call!("cuFileDriverOpen"),
        close: match optional!("cuFileDriverClose_v2") {
            Some(close) => close,
            None => call!("cuFileDriverClose"),
        },
        properties: call!("cuFileDriverGetProperties"),
        register_file: call!("cuFileHandleRegister"),
        deregister_file: call!("cuFileHandleDeregister"),
        register_buffer: call!("cuFileBufRegister"),
        deregister_buffer: call!("cuFileBufDeregister"),
        read: call!("cuFileRead"),
        write: call!("cuFileWrite"),
        set_bool: optional!("cuFileSetParameterBool"),
        version: optional!("cuFileGetVersion"),
    })
}

/// The version of the library (1000 × major + 10 × minor, as the API reference has it), if it tells.
///
/// # Errors
/// Why there is no library.
pub fn version() -> Result<Option<String>, String> {
    let calls = calls()?;
    let mut number = 0;
    // SAFETY: it writes the number.
    let told = calls.version.is_some_and(|call| unsafe { call(&raw mut number) }.err == 0);
    Ok(told.then(|| format!("{}.{}", number / 1000, number % 1000 / 10)))
}

impl Status {
    fn check(self) -> Result<(), String> {
        match self.err {
            0 => Ok(()),
            CUDA_ERROR => Err(format!("{} {}", words(CUDA_ERROR), self.cuda)),
            code => Err(words(code)),
        }
    }
}

/// A code of `CUfileOpError` in words.
fn words(code: c_int) -> String {
    let what = match code {
        5001 => "nvidia-fs driver is not initialized",
        5002 => "invalid property",
        5003 => "property range error",
        5004 => "nvidia-fs driver version mismatch",
        5005 => "nvidia-fs driver version cannot be read",
        5006 => "driver is closing",
        5007 => "GPUDirect Storage is not supported on this platform",
        5008 => "GPUDirect Storage is not supported on this file",
        5009 => "GPUDirect Storage is not supported on this GPU",
        5010 => "nvidia-fs driver ioctl failed",
        CUDA_ERROR => "CUDA error",
        5012 => "invalid device pointer",
        5013 => "invalid type of memory",
        5014 => "device pointer out of its allocation",
        5015 => "memory is of another CUDA context",
        5016 => "access beyond the mapped size",
        5017 => "access outside the mapped range",
        5018 => "unsupported type of file",
        5019 => "unsupported flags of the open file",
        5020 => "the file is not open with O_DIRECT",
        5022 => "invalid value",
        5023 => "memory is already registered",
        5024 => "memory is not registered",
        5025 => "permission denied",
        5027 => "the file is not registered",
        5028 => "the file is already registered",
        5030 => "internal error",
        5033 => "nvidia-fs failed to set up",
        5034 => "GPUDirect Storage is disabled on this file",
        5036 => "the GPU's memory cannot be pinned",
        _ => "an error",
    };
    format!("{what} (cuFile {code})")
}

/// A registered file.
#[derive(Clone, Copy, Debug)]
pub struct Handle(*mut c_void);

// SAFETY: the handle is cuFile's own, opaque to us, and its calls may come from any thread (API
// reference: cuFile's calls are thread-safe).
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

/// The driver, open. It is closed when it is dropped.
pub struct Driver {
    calls: &'static Calls,
    controls: Controls,
}

impl Driver {
    /// Leaves it open for good: calls that never ended may still use it.
    pub fn abandon(self) {
        std::mem::forget(self);
    }

    /// Opens it; `strict` forbids the compat mode, where the library can be told, in which cuFile
    /// does POSIX I/O through host memory and does not say so.
    ///
    /// # Errors
    /// No library, or what cuFile says.
    pub fn open(strict: bool) -> Result<Self, String> {
        let calls = calls()?;
        if let Some(set) = calls.set_bool {
            // What it did not take is seen in its properties.
            // SAFETY: both take numbers, before the driver is open.
            let _ = unsafe { (set(ALLOW_COMPAT, !strict), if strict { set(FORCE_COMPAT, false).err } else { 0 }) };
        }
        // SAFETY: nothing is asked of it.
        unsafe { (calls.open)() }.check()?;
        let mut driver = Self { calls, controls: Controls::default() };
        let mut told = Properties::default();
        // SAFETY: it writes the properties, for which there is room.
        unsafe { (calls.properties)(&raw mut told) }.check()?;
        driver.controls = Controls {
            compat_allowed: told.control & COMPAT_BIT != 0,
            posix: told.control & POSIX_BIT != 0,
            falls_back: told.control & FALLBACK_BIT != 0,
            peer_to_peer: told.features & P2P_BIT != 0,
        };
        Ok(driver)
    }

    /// What it says of itself.
    pub fn controls(&self) -> Controls {
        self.controls
    }

    /// Makes a file known, which has to stay open.
    ///
    /// # Errors
    /// What cuFile says.
    pub fn register_file(&self, fd: RawFd) -> Result<Handle, String> {
        let mut handle = std::ptr::null_mut();
        let mut of = Descriptor { kind: OPAQUE_FD, before: 0, fd, rest: 0, operations: std::ptr::null() };
        // SAFETY: it reads the descriptor and writes the handle.
        unsafe { (self.calls.register_file)(&raw mut handle, &raw mut of) }.check()?;
        Ok(Handle(handle))
    }

    /// Forgets a file.
    pub fn deregister_file(&self, handle: Handle) {
        // SAFETY: the handle was registered and nothing is on its way.
        unsafe { (self.calls.deregister_file)(handle.0) };
    }

    /// Makes memory of the GPU that is current for this thread known.
    ///
    /// # Errors
    /// What cuFile says.
    pub fn register_buffer(&self, base: u64, bytes: u64) -> Result<(), String> {
        // SAFETY: the memory is the caller's GPU's, from its start.
        unsafe { (self.calls.register_buffer)(base as *const c_void, bytes as usize, 0) }.check()
    }

    /// Forgets memory.
    pub fn deregister_buffer(&self, base: u64) {
        // SAFETY: it was registered and nothing is on its way. What goes wrong now hurts nobody.
        let _ = unsafe { (self.calls.deregister_buffer)(base as *const c_void) };
    }

    /// Reads into a GPU's memory that begins at `base`, or writes from it; the GPU is current for
    /// this thread. Returns the bytes that went.
    ///
    /// # Errors
    /// What the system or cuFile says.
    pub fn carry(&self, carry: &Carry, file: Handle, base: u64) -> Result<usize, Failure> {
        let call = if carry.write { self.calls.write } else { self.calls.read };
        // SAFETY: the file is registered; the place lies in the tier's memory or in the landing
        // place behind it, and is nobody else's until this is heard of.
        let went =
            unsafe { call(file.0, base as *const c_void, carry.len, carry.file_offset as c_long, carry.at as c_long) };
        match went {
            0.. => Ok(went as usize),
            -1 => {
                let error = std::io::Error::last_os_error();
                Err(Failure {
                    errno: error.raw_os_error().unwrap_or(0),
                    words: format!("cuFile: {}", crate::error::plain(&error)),
                })
            }
            code => Err(Failure { errno: 0, words: words(code.unsigned_abs() as c_int) }),
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // SAFETY: everything that was registered has been forgotten.
        let _ = unsafe { (self.calls.close)() };
    }
}

#[cfg(test)]
mod tests {
    use std::mem::{offset_of, size_of};

    use super::*;

    #[test]
    fn structures_lie_in_memory_as_the_api_has_them() {
        assert_eq!(
            (size_of::<Descriptor>(), offset_of!(Descriptor, fd), offset_of!(Descriptor, operations)),
            (24, 8, 16)
        );
        assert_eq!((offset_of!(Properties, status), offset_of!(Properties, control)), (24, 28));
        assert_eq!((offset_of!(Properties, features), size_of::<Status>()), (32, 8));
        assert!(words(5008).contains("not supported on this file") && words(5999).contains("5999"));
    }
}
