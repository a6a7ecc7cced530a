import CHDF5
import Host

/// A dataset of an HDF5 file: contiguous, without a filter.
package struct HDF5Dataset {
    private let identifier: HDF5Identifier
    private let place: HDF5Place
    /// The extents, the slowest first; empty for a scalar.
    package let shape: [Int]
    private let type: HDF5Identifier

    /// The number of elements.
    package var count: Int { shape.reduce(1, *) }

    init(in parent: hid_t, name: String, place: HDF5Place, backing: MappedFile?) throws(Failure) {
        identifier = try HDF5Identifier(
            H5Dclose, backing: backing, orThrow: place.failure("is missing or is not a dataset")
        ) { H5Dopen2(parent, name, causalgen_h5p_default()) }
        let id = identifier.value
        let damaged = place.failure("has a damaged header")
        type = try HDF5Identifier(H5Tclose, backing: nil, orThrow: damaged) { H5Dget_type(id) }
        let space = try HDF5Identifier(H5Sclose, backing: nil, orThrow: damaged) {
            H5Dget_space(id)
        }
        shape = try HDF5Dataset.shape(of: space, orThrow: damaged)
        self.place = place
        // What follows allocates by these counts, so they must be covered by bytes of the file.
        let typeID = type.value
        let (elementBytes, storedBytes) = HDF5Library.call {
            (H5Tget_size(typeID), Int(clamping: H5Dget_storage_size(id)))
        }
        let (bytes, overflow) = shape.reduce(1, *).multipliedReportingOverflow(by: elementBytes)
        guard !overflow, bytes == storedBytes, bytes <= backing?.bytes.count ?? Int.max else {
            throw place.failure(
                "of shape \(shape) has \(storedBytes) bytes in the file; "
                    + "only whole, contiguous, unfiltered datasets are read")
        }
    }

    /// All elements, in row-major order, of floating-point numbers of any width.
    package func doubles() throws(Failure) -> [Double] {
        try readArray(H5T_FLOAT, causalgen_h5t_native_double(), 0, "floating-point numbers")
    }

    /// All elements, in row-major order, of floating-point numbers of any width, rounded to Float.
    package func floats() throws(Failure) -> [Float] {
        try readArray(H5T_FLOAT, causalgen_h5t_native_float(), 0, "floating-point numbers")
    }

    /// All elements, in row-major order, of integers of any width.
    package func integers() throws(Failure) -> [Int] {
        try readArray(H5T_INTEGER, causalgen_h5t_native_int64(), 0, "integers")
    }

    /// A scalar string of fixed length.
    package func text() throws(Failure) -> String {
        let (typeID, id) = (type.value, identifier.value)
        let (isText, width) = HDF5Library.call {
            (
                H5Tget_class(typeID) == H5T_STRING && H5Tis_variable_str(typeID) == 0,
                H5Tget_size(typeID)
            )
        }
        guard isText, count == 1 else { throw place.failure("is not one string of fixed length") }
        var bytes = [UInt8](repeating: 0, count: width)
        guard HDF5Library.call({ H5Dread(id, typeID, all, all, defaults, &bytes) }) >= 0 else {
            throw place.failure("cannot be read")
        }
        return paddedText(bytes[...])
    }

    /// Copies all elements, which must be float32, to `floats`, which has room for `count` of them.
    func read(into floats: UnsafeMutablePointer<Float>) throws(Failure) {
        let (typeID, id) = (type.value, identifier.value)
        let isFloat = HDF5Library.call { H5Tequal(typeID, causalgen_h5t_ieee_f32le()) } > 0
        guard isFloat else { throw place.failure("is not little-endian float32") }
        let memory = causalgen_h5t_native_float()
        guard HDF5Library.call({ H5Dread(id, memory, all, all, defaults, floats) }) >= 0 else {
            throw place.failure("cannot be read")
        }
    }

    private func readArray<Element: BitwiseCopyable>(
        _ expected: H5T_class_t, _ memory: hid_t, _ zero: Element, _ noun: String
    ) throws(Failure) -> [Element] {
        let (typeID, id) = (type.value, identifier.value)
        guard HDF5Library.call({ H5Tget_class(typeID) }) == expected else {
            throw place.failure("does not hold \(noun)")
        }
        var elements = [Element](repeating: zero, count: count)
        guard HDF5Library.call({ H5Dread(id, memory, all, all, defaults, &elements) }) >= 0 else {
            throw place.failure("cannot be read")
        }
        return elements
    }

    private var all: hid_t { causalgen_h5s_all() }
    private var defaults: hid_t { causalgen_h5p_default() }

    /// The extents of a space whose product is a number that Swift can hold.
    static func shape(
        of space: HDF5Identifier, orThrow damaged: Failure
    ) throws(Failure) -> [Int] {
        let id = space.value
        var extents = [hsize_t](repeating: 0, count: Int(H5S_MAX_RANK))
        let rank = HDF5Library.call {
            H5Sget_simple_extent_type(id) == H5S_NULL
                ? -1 : H5Sget_simple_extent_dims(id, &extents, nil)
        }
        guard rank >= 0 else { throw damaged }
        var product = 1
        for extent in extents[..<Int(rank)] {
            guard let extent = Int(exactly: extent) else { throw damaged }
            let (next, overflow) = product.multipliedReportingOverflow(by: extent)
            guard !overflow else { throw damaged }
            product = next
        }
        return extents[..<Int(rank)].map { Int($0) }
    }
}

extension HDF5Group {
    /// Makes a dataset of little-endian float32.
    func makeDataset(
        _ name: String, shape: [Int], _ floats: UnsafePointer<Float>
    ) throws(Failure) {
        try makeDataset(
            name, shape: shape, stored: causalgen_h5t_ieee_f32le(),
            memory: causalgen_h5t_native_float(), floats)
    }

    /// Makes a one-dimensional dataset of little-endian int64.
    func makeDataset(_ name: String, _ integers: [Int]) throws(Failure) {
        try makeDataset(
            name, shape: [integers.count], stored: causalgen_h5t_std_i64le(),
            memory: causalgen_h5t_native_int64(), integers)
    }

    /// Makes a one-dimensional dataset of little-endian float64.
    func makeDataset(_ name: String, _ doubles: [Double]) throws(Failure) {
        try makeDataset(
            name, shape: [doubles.count], stored: causalgen_h5t_ieee_f64le(),
            memory: causalgen_h5t_native_double(), doubles)
    }

    /// Makes a scalar dataset of one UTF-8 string, as long as it may be.
    func makeDataset(_ name: String, _ text: String) throws(Failure) {
        var bytes = Array(text.utf8)
        if bytes.isEmpty { bytes = [0] }
        let type = try place.child(name).textType(width: bytes.count)
        try makeDataset(name, shape: [], stored: type.value, memory: type.value, bytes)
    }

    private func makeDataset(
        _ name: String, shape: [Int], stored: hid_t, memory: hid_t, _ bytes: UnsafeRawPointer
    ) throws(Failure) {
        let place = place.child(name)
        let space = try place.space(shape)
        let creation = try place.propertyList(causalgen_h5p_dataset_create())
        let (parent, spaceID, list) = (identifier.value, space.value, creation.value)
        let dataset = try HDF5Identifier(
            H5Dclose, backing: nil, orThrow: place.failure("libhdf5 refused")
        ) {
            H5Dcreate2(
                parent, name, stored, spaceID, causalgen_h5p_default(), list,
                causalgen_h5p_default())
        }
        let id = dataset.value
        let status = HDF5Library.call {
            H5Dwrite(
                id, memory, causalgen_h5s_all(), causalgen_h5s_all(), causalgen_h5p_default(), bytes
            )
        }
        guard status >= 0 else { throw place.failure("its bytes were refused") }
    }
}
