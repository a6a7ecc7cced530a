import CHDF5

/// The version of libhdf5: of the headers that the program was compiled with, and of the library that it
/// runs with.
package enum HDF5Version {
    package static let headers = "\(H5_VERS_MAJOR).\(H5_VERS_MINOR).\(H5_VERS_RELEASE)"

    package static let library: String = {
        var (major, minor, release): (UInt32, UInt32, UInt32) = (0, 0, 0)
        let code = HDF5Library.call { H5get_libversion(&major, &minor, &release) }
        return code < 0 ? "unknown" : "\(major).\(minor).\(release)"
    }()
}
