// swift-tools-version: 6.1
import Foundation
import PackageDescription

// The processor that the kernels are compiled for. The default has AVX2 and FMA; arm64 needs no flag.
// Every rank compares its own processor with this at start (Host/Processor.swift).
#if arch(x86_64)
    let processor = ProcessInfo.processInfo.environment["CAUSALGEN_MARCH"] ?? "x86-64-v3"
    let isBaseline = processor != "x86-64" && processor != "x86-64-v2"
    let machine: [SwiftSetting] =
        [.unsafeFlags(["-Xcc", "-march=\(processor)"])]
        + (isBaseline ? [.define("NEEDS_AVX2")] : [])
#else
    let machine: [SwiftSetting] = []
#endif

// Arithmetic is compiled optimised in debug builds too: a debug build of the rest stays usable.
let arithmetic: [SwiftSetting] = machine + [.unsafeFlags(["-O"])]

let package = Package(
    name: "causalgen",
    products: [.executable(name: "causalgen", targets: ["causalgen"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.2"),
        .package(url: "https://github.com/jpsim/Yams.git", from: "6.2.2"),
    ],
    targets: [
        // The one direction of dependency, from the program down to the arithmetic and the machine.
        .executableTarget(
            name: "causalgen",
            dependencies: [
                "Training", "Benchmarks", "Debugging", "Doctor",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: machine),
        .target(
            name: "Benchmarks",
            dependencies: [
                "Training", "Model", "TokenData", "Collectives", "Checkpointing", "Kernels", "Host",
            ],
            swiftSettings: machine),
        .target(
            name: "Debugging",
            dependencies: [
                "Training", "Model", "TokenData", "Collectives", "Checkpointing", "Kernels", "Host",
            ],
            swiftSettings: machine),
        .target(
            name: "Doctor",
            dependencies: [
                "Training", "Model", "TokenData", "Collectives", "Checkpointing", "Host",
            ],
            swiftSettings: machine),
        .target(
            name: "Training",
            dependencies: ["Model", "TokenData", "Collectives", "Checkpointing", "Host", "Yams"],
            swiftSettings: machine),
        .target(name: "Model", dependencies: ["Kernels"], swiftSettings: arithmetic),
        .target(name: "Kernels", dependencies: ["CVector"], swiftSettings: arithmetic),
        .target(name: "TokenData", dependencies: ["Kernels", "Host"], swiftSettings: machine),
        .target(
            name: "Collectives", dependencies: ["CMPI", "Kernels", "Host"], swiftSettings: machine),
        .target(
            name: "Checkpointing", dependencies: ["CHDF5", "Model", "Host"], swiftSettings: machine),
        .target(name: "Host", dependencies: ["CCrypto", "CHost"], swiftSettings: machine),

        // C that Swift calls. Only inline functions of our own, for what Swift cannot import.
        .systemLibrary(
            name: "CMPI", pkgConfig: "ompi-c", providers: [.apt(["libopenmpi-dev", "openmpi-bin"])]),
        .systemLibrary(name: "CVector"),
        .systemLibrary(name: "CHost"),
        .systemLibrary(name: "CHDF5", pkgConfig: "hdf5", providers: [.apt(["libhdf5-dev"])]),
        .systemLibrary(
            name: "CCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),

        .testTarget(name: "KernelsTests", dependencies: ["Kernels"], swiftSettings: machine),
        .testTarget(
            name: "ProgramTests", dependencies: ["causalgen"], swiftSettings: machine),
        .testTarget(
            name: "TrainingTests",
            dependencies: ["Training", "Model", "TokenData", "Collectives", "Kernels", "Host"],
            swiftSettings: machine),
        .testTarget(
            name: "TokenDataTests", dependencies: ["TokenData", "Host", "Kernels"],
            swiftSettings: machine),
        .testTarget(
            name: "ModelTests", dependencies: ["Model", "Checkpointing"],
            resources: [.copy("Golden")], swiftSettings: machine),
        .testTarget(
            name: "CheckpointingTests", dependencies: ["Checkpointing"], swiftSettings: machine),
        .executableTarget(
            name: "collectives-probe", dependencies: ["Collectives"],
            path: "Tests/CollectivesProbe", swiftSettings: machine),
        .executableTarget(
            name: "fuzz-probe",
            dependencies: ["Training", "Model", "TokenData", "Checkpointing", "Host"],
            path: "Tests/FuzzProbe", swiftSettings: machine),
        .testTarget(
            name: "FuzzTests",
            dependencies: [
                "Training", "Model", "TokenData", "Checkpointing", "Host", "fuzz-probe",
            ],
            swiftSettings: machine),
        .testTarget(
            name: "CollectivesTests", dependencies: ["Collectives", "collectives-probe"],
            swiftSettings: machine),
    ],
    swiftLanguageModes: [.v6]
)
