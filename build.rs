//! Compiles the BPF programs of `bpf/` and generates their skeleton, when the feature `ebpf` is on.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "ebpf")]
    bpf::build();
}

#[cfg(feature = "ebpf")]
mod bpf {
    use std::path::PathBuf;
    use std::process::Command;

    const WAY_OUT: &str = "install clang, libelf-dev, zlib1g-dev and pkg-config (apt-get install clang libelf-dev \
                           zlib1g-dev pkg-config), or build without the block-layer capture: \
                           cargo build --no-default-features --features gpu";

    pub fn build() {
        println!("cargo:rerun-if-changed=bpf");
        println!("cargo:rerun-if-env-changed=CLANG");
        let clang = std::env::var("CLANG").unwrap_or_else(|_| "clang".to_owned());
        if Command::new(&clang).arg("--version").output().is_err() {
            panic!("`{clang}` is needed to compile bpf/kvtrace.bpf.c and was not found; {WAY_OUT}");
        }
        let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("kvtrace.skel.rs");
        let built = libbpf_cargo::SkeletonBuilder::new()
            .source("bpf/kvtrace.bpf.c")
            .clang(&clang)
            // v3 has compare-and-swap, which kernels take since 5.12.
            .clang_args(["-Wall", "-Wextra", "-Wno-unused-parameter", "-Ibpf", "-mcpu=v3"])
            .build_and_generate(&out);
        if let Err(error) = built {
            panic!("bpf/kvtrace.bpf.c did not compile: {error:#}; {WAY_OUT}");
        }
    }
}
