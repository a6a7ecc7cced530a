import CHost

/// How the program was compiled.
package enum Build {
    #if DEBUG
        package static let configuration = "debug"
    #else
        package static let configuration = "release"
    #endif

    /// The processor that it was compiled for, as `-march` names it.
    package static let target = String(cString: causalgen_target())

    /// The version of Swift's library that it runs with, which a program that is linked statically has in
    /// itself. The library of 6.3.1 calls itself 6.3.0.
    package static let swift = "\(_SwiftStdlibVersion.current)"
}
