//! Compiles the BPF programs of `bpf/` and generates their skeleton, when the feature `ebpf` is on.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "ebpf")]
    bpf::build();
}

#[cfg(feature = "ebpf")]
mod bpf {
    use std::path::{Path, PathBuf};
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
        let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
        for (kind, folder) in [("-DKV_TP_BTF", "tp_btf"), ("-DKV_RAW", "raw_tp")] {
            std::fs::create_dir_all(out.join(folder)).expect("OUT_DIR can be written");
            compile(&clang, kind, &out.join(folder).join("kvtrace.o"));
        }
        generate(&out.join("tp_btf/kvtrace.o"), &out.join("kvtrace.skel.rs"));
    }

    fn compile(clang: &str, kind: &str, object: &Path) {
        let built = libbpf_cargo::SkeletonBuilder::new()
            .source("bpf/kvtrace.bpf.c")
            .obj(object)
            .clang(clang)
            // v3 has compare-and-swap, which kernels take since 5.12.
            .clang_args(["-Wall", "-Wextra", "-Wno-unused-parameter", "-Ibpf", "-mcpu=v3", kind])
            .build();
        if let Err(error) = built {
            panic!("bpf/kvtrace.bpf.c did not compile with {kind}: {error:#}; {WAY_OUT}");
        }
    }

    /// One skeleton serves both objects, whose maps and programs have the same names: it asks
    /// src/capture/probes.rs for the object instead of carrying one.
    fn generate(object: &Path, skeleton: &Path) {
        const CARRIED: &str = "ObjectSkeletonConfigBuilder::new(&DATA)";
        libbpf_cargo::SkeletonBuilder::new().obj(object).generate(skeleton).expect("a skeleton of the object");
        let text = std::fs::read_to_string(skeleton).expect("the skeleton can be read");
        let object = text.find("static DATA:").expect("the skeleton carries its object");
        let end = object + text[object..].find("];").expect("the object ends") + 2;
        let at = text[..object].rfind('}').expect("items come before the object") + 1;
        assert_eq!(text.matches(CARRIED).count(), 1, "the skeleton uses its object once");
        let text = format!("{}{}", &text[..at], &text[end..]);
        let text = text.replace(CARRIED, "ObjectSkeletonConfigBuilder::new(object())");
        std::fs::write(skeleton, text).expect("the skeleton can be written");
    }
}
