import Host

/// A checkpoint's bytes in memory, ready to become a file. It is made by the training thread, between two
/// steps, and published by another while training goes on.
package final class CheckpointImage: @unchecked Sendable {
    /// The steps completed.
    package let step: Int
    private let file: HDF5File

    init(step: Int, file: HDF5File) {
        self.step = step
        self.file = file
    }

    /// The file appears under its name only when all of it is on the disk, its digest in front.
    ///
    /// - Throws: exit codes 70 (no memory), 73, 74, 77.
    package func publish(at path: String) throws(Failure) {
        try file.withImage { (image) throws(Failure) in
            let result: Result<Void, Failure> = UserBlock.make(for: image).withUnsafeBytes {
                block in
                Result { () throws(Failure) in
                    try PublishedFile.write([block, image], to: path)
                }
            }
            try result.get()
        }
    }
}
