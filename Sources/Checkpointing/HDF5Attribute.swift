import CHDF5
import Host

// Attributes of a group: small facts. Each is stored in the group's header, which limits it to 64 KiB.
extension HDF5Group {
    /// An integer attribute of any width, or a truth value as h5py stores it (0 or 1).
    package func integer(_ name: String) throws(Failure) -> Int {
        var value: Int64 = 0
        try readScalar(
            name, classes: [H5T_INTEGER, H5T_ENUM], causalgen_h5t_native_int64(), &value)
        return Int(value)
    }

    /// An unsigned integer attribute of 64 bits.
    package func unsigned(_ name: String) throws(Failure) -> UInt64 {
        var value: UInt64 = 0
        try readScalar(name, classes: [H5T_INTEGER], causalgen_h5t_native_uint64(), &value)
        return value
    }

    package func flag(_ name: String) throws(Failure) -> Bool {
        try integer(name) != 0
    }

    /// A string attribute, of fixed or variable length.
    package func text(_ name: String) throws(Failure) -> String {
        let texts = try texts(name)
        guard texts.count == 1 else {
            throw place.failure("has \(texts.count) strings as attribute '\(name)' instead of one")
        }
        return texts[0]
    }

    /// A string attribute of any rank, in row-major order.
    package func texts(_ name: String) throws(Failure) -> [String] {
        let attribute = try openAttribute(name)
        let (id, damaged) = (attribute.value, attributeFailure(name))
        let type = try HDF5Identifier(H5Tclose, backing: nil, orThrow: damaged) { H5Aget_type(id) }
        let typeID = type.value
        let (isText, isVariable, width) = HDF5Library.call {
            (
                H5Tget_class(typeID) == H5T_STRING, H5Tis_variable_str(typeID) > 0,
                H5Tget_size(typeID)
            )
        }
        let count = try elementCount(of: attribute, name)
        guard isText, width > 0, count <= limit / width else { throw damaged }
        guard isVariable else {
            var bytes = [UInt8](repeating: 0, count: count * width)
            guard HDF5Library.call({ H5Aread(id, typeID, &bytes) }) >= 0 else { throw damaged }
            return (0..<count).map { paddedText(bytes[($0 * width)..<(($0 + 1) * width)]) }
        }
        var pointers = [UnsafeMutablePointer<CChar>?](repeating: nil, count: count)
        return try HDF5Library.call { () -> Result<[String], Failure> in
            guard H5Aread(id, typeID, &pointers) >= 0 else { return .failure(damaged) }
            defer { for pointer in pointers { H5free_memory(pointer) } }
            return .success(pointers.map { $0.map { String(cString: $0) } ?? "" })
        }.get()
    }

    func setAttribute(_ name: String, _ value: Int) throws(Failure) {
        var value = Int64(value)
        try writeAttribute(
            name, stored: causalgen_h5t_std_i64le(), memory: causalgen_h5t_native_int64(),
            shape: [],
            &value)
    }

    func setAttribute(_ name: String, _ value: UInt64) throws(Failure) {
        var value = value
        try writeAttribute(
            name, stored: causalgen_h5t_std_u64le(), memory: causalgen_h5t_native_uint64(),
            shape: [], &value)
    }

    func setAttribute(_ name: String, _ value: String) throws(Failure) {
        var bytes = Array(value.utf8)
        if bytes.isEmpty { bytes = [0] }
        let type = try place.textType(width: bytes.count)
        try writeAttribute(name, stored: type.value, memory: type.value, shape: [], &bytes)
    }

    /// A one-dimensional attribute of strings, each padded with zeros to `width` bytes.
    func setAttribute(_ name: String, _ values: [String], width: Int) throws(Failure) {
        var bytes: [UInt8] = []
        for value in values {
            precondition(value.utf8.count <= width, "a string is longer than its place")
            bytes += value.utf8
            bytes += repeatElement(0, count: width - value.utf8.count)
        }
        let type = try place.textType(width: width)
        try writeAttribute(
            name, stored: type.value, memory: type.value, shape: [values.count], &bytes)
    }

    /// The most bytes of strings that an attribute may hold: more than HDF5 allows (64 KiB) for
    /// fixed length, and a bound for the count of variable length.
    private var limit: Int { 1 << 20 }

    private func attributeFailure(_ name: String) -> Failure {
        place.failure("has a damaged attribute '\(name)', or one of another type")
    }

    private func openAttribute(_ name: String) throws(Failure) -> HDF5Identifier {
        let group = identifier.value
        return try HDF5Identifier(
            H5Aclose, backing: backing, orThrow: place.failure("has no attribute '\(name)'")
        ) { H5Aopen(group, name, causalgen_h5p_default()) }
    }

    private func elementCount(
        of attribute: HDF5Identifier, _ name: String
    ) throws(Failure) -> Int {
        let (id, damaged) = (attribute.value, attributeFailure(name))
        let space = try HDF5Identifier(H5Sclose, backing: nil, orThrow: damaged) {
            H5Aget_space(id)
        }
        let shape = try HDF5Dataset.shape(of: space, orThrow: damaged)
        return shape.reduce(1, *)
    }

    private func readScalar<Value: BitwiseCopyable>(
        _ name: String, classes: [H5T_class_t], _ memory: hid_t, _ value: inout Value
    ) throws(Failure) {
        let attribute = try openAttribute(name)
        let (id, damaged) = (attribute.value, attributeFailure(name))
        let type = try HDF5Identifier(H5Tclose, backing: nil, orThrow: damaged) { H5Aget_type(id) }
        let typeID = type.value
        let found = HDF5Library.call { H5Tget_class(typeID) }
        guard classes.contains(found), try elementCount(of: attribute, name) == 1,
            HDF5Library.call({ H5Aread(id, memory, &value) }) >= 0
        else { throw damaged }
    }

    private func writeAttribute(
        _ name: String, stored: hid_t, memory: hid_t, shape: [Int], _ bytes: UnsafeRawPointer
    ) throws(Failure) {
        let space = try place.space(shape)
        let (group, spaceID) = (identifier.value, space.value)
        let refused = place.failure("its attribute '\(name)' was refused")
        let attribute = try HDF5Identifier(H5Aclose, backing: nil, orThrow: refused) {
            H5Acreate2(
                group, name, stored, spaceID, causalgen_h5p_default(), causalgen_h5p_default())
        }
        let id = attribute.value
        guard HDF5Library.call({ H5Awrite(id, memory, bytes) }) >= 0 else { throw refused }
    }
}

extension HDF5Place {
    /// UTF-8 strings of `width` bytes, padded with zeros.
    ///
    /// Fixed length, for a string of variable length lies in a heap whose unused bytes are whatever
    /// was in memory: equal states would not give equal files.
    func textType(width: Int) throws(Failure) -> HDF5Identifier {
        let type = try HDF5Identifier(
            H5Tclose, backing: nil, orThrow: failure("libhdf5 gives no string type")
        ) { H5Tcopy(causalgen_h5t_c_s1()) }
        let value = type.value
        let status = HDF5Library.call {
            H5Tset_size(value, width) < 0 || H5Tset_strpad(value, H5T_STR_NULLPAD) < 0
                || H5Tset_cset(value, H5T_CSET_UTF8) < 0
        }
        guard !status else { throw failure("a string of \(width) bytes is refused") }
        return type
    }

    /// The extent of a dataset or attribute; the empty shape is a scalar.
    func space(_ shape: [Int]) throws(Failure) -> HDF5Identifier {
        let extents = shape.map { hsize_t($0) }
        return try HDF5Identifier(
            H5Sclose, backing: nil, orThrow: failure("the shape \(shape) is refused")
        ) {
            extents.isEmpty
                ? H5Screate(H5S_SCALAR) : H5Screate_simple(Int32(extents.count), extents, nil)
        }
    }
}

/// The text in front of the zeros.
func paddedText(_ bytes: ArraySlice<UInt8>) -> String {
    String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
}
