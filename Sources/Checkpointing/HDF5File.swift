import CHDF5
import Host

/// An HDF5 file: one that is read where it is mapped, or one that is made in memory.
package struct HDF5File {
    private let identifier: HDF5Identifier
    private let place: HDF5Place
    private let backing: MappedFile?

    /// Opens a file for reading. Any HDF5 file will do, with a user block or without.
    ///
    /// - Throws: exit code 66 or 77 where it cannot be opened, 65 where it is no HDF5 file.
    package init(_ path: String) throws(Failure) {
        let file = try MappedFile(path)
        guard let offset = HDF5File.superblockOffset(of: file.bytes) else {
            throw Failure(.damaged, "'\(path)' is not an HDF5 file")
        }
        try self.init(mapped: file, offset: offset)
    }

    /// Opens the HDF5 image that starts at byte `offset` of a mapped file, for reading, without a copy.
    init(mapped file: MappedFile, offset: Int) throws(Failure) {
        let image = UnsafeRawBufferPointer(rebasing: file.bytes[offset...])
        let place = HDF5Place(file: file.path, object: "/")
        let access = try HDF5File.memoryAccess(growth: 1 << 16, place)
        let list = access.value
        guard HDF5Library.call({ Self.borrow(image, list) }) >= 0 else {
            throw place.failure("cannot be opened in memory")
        }
        // libhdf5 takes files in memory for one and the same where they have the same name.
        let name = "image-\(UInt(bitPattern: ObjectIdentifier(file)))"
        identifier = try HDF5Identifier(
            H5Fclose, backing: file, orThrow: place.failure("is not a readable HDF5 file")
        ) { H5Fopen(name, causalgen_h5f_read_only(), list) }
        self.place = place
        backing = file
    }

    /// Makes an empty file in memory. Nothing in it depends on the time or the machine.
    ///
    /// - Parameter expectedBytes: memory is taken in pieces of this size.
    init(expectedBytes: Int) throws(Failure) {
        let place = HDF5Place(file: nil, object: "/")
        let access = try HDF5File.memoryAccess(growth: expectedBytes, place)
        let creation = try place.propertyList(causalgen_h5p_file_create())
        let (accessList, creationList) = (access.value, creation.value)
        // As above: several may be made at once. The name is not part of the image.
        let name = "checkpoint-\(UInt64.random(in: 0 ... .max))"
        identifier = try HDF5Identifier(
            H5Fclose, backing: nil, orThrow: place.failure("libhdf5 refused")
        ) {
            H5Fcreate(name, causalgen_h5f_create_new(), creationList, accessList)
        }
        self.place = place
        backing = nil
    }

    /// The group that holds everything.
    package func root() throws(Failure) -> HDF5Group {
        try HDF5Group(in: identifier.value, name: "/", place: place, backing: backing)
    }

    /// Runs `body` with the bytes of a file that was made in memory. They are valid for that long.
    func withImage<Value>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Value
    ) throws(Failure) -> Value {
        let file = identifier.value
        var start: UnsafeMutableRawPointer?
        let count = HDF5Library.call {
            guard H5Fflush(file, H5F_SCOPE_GLOBAL) >= 0,
                H5Fget_vfd_handle(file, causalgen_h5p_default(), &start) >= 0
            else { return -1 }
            return H5Fget_file_image(file, nil, 0)
        }
        // The driver's handle is the address of its buffer's address.
        guard count > 0, let start,
            let bytes = start.load(as: UnsafeRawPointer?.self)
        else { throw place.failure("the image cannot be finished") }
        return try body(UnsafeRawBufferPointer(start: bytes, count: count))
    }

    private static func memoryAccess(
        growth: Int, _ place: HDF5Place
    ) throws(Failure) -> HDF5Identifier {
        let access = try HDF5Identifier(
            H5Pclose, backing: nil, orThrow: place.failure("libhdf5 gives no property list")
        ) { H5Pcreate(causalgen_h5p_file_access()) }
        let list = access.value
        guard HDF5Library.call({ H5Pset_fapl_core(list, growth, false) }) >= 0 else {
            throw place.failure("libhdf5 has no files in memory")
        }
        return access
    }

    private static func borrow(_ image: UnsafeRawBufferPointer, _ list: hid_t) -> herr_t {
        causalgen_h5p_set_borrowed_image(list, image.baseAddress, image.count)
    }

    /// The format lets an image start at byte 0, 512, 1024, and so on by doubling.
    private static func superblockOffset(of bytes: UnsafeRawBufferPointer) -> Int? {
        let signature: [UInt8] = [0x89, 0x48, 0x44, 0x46, 0x0D, 0x0A, 0x1A, 0x0A]
        var offset = 0
        while offset + signature.count <= bytes.count {
            if bytes[offset...].starts(with: signature) { return offset }
            offset = max(512, 2 * offset)
        }
        return nil
    }
}

extension HDF5Place {
    /// Properties for making an object that holds no time stamp.
    func propertyList(_ kind: hid_t) throws(Failure) -> HDF5Identifier {
        let list = try HDF5Identifier(
            H5Pclose, backing: nil, orThrow: failure("libhdf5 gives no property list")
        ) { H5Pcreate(kind) }
        let value = list.value
        guard HDF5Library.call({ H5Pset_obj_track_times(value, false) }) >= 0 else {
            throw failure("its time stamps cannot be switched off")
        }
        return list
    }
}
