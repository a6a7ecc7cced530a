import CHDF5
import Host

/// A group of an HDF5 file. Names are one path component each: dots are fine, slashes are not.
package struct HDF5Group {
    let identifier: HDF5Identifier
    let place: HDF5Place
    let backing: MappedFile?

    init(in parent: hid_t, name: String, place: HDF5Place, backing: MappedFile?) throws(Failure) {
        identifier = try HDF5Identifier(
            H5Gclose, backing: backing, orThrow: place.failure("is missing or is not a group")
        ) { H5Gopen2(parent, name, causalgen_h5p_default()) }
        self.place = place
        self.backing = backing
    }

    private init(
        new name: String, in parent: hid_t, place: HDF5Place
    ) throws(Failure) {
        let creation = try place.propertyList(causalgen_h5p_group_create())
        let list = creation.value
        identifier = try HDF5Identifier(
            H5Gclose, backing: nil, orThrow: place.failure("libhdf5 refused")
        ) {
            H5Gcreate2(parent, name, causalgen_h5p_default(), list, causalgen_h5p_default())
        }
        self.place = place
        backing = nil
    }

    /// The names of everything in this group, in ascending order of their bytes.
    ///
    /// - Throws: exit code 65 where the group is damaged or holds a soft or external link.
    package func names() throws(Failure) -> [String] {
        let group = identifier.value
        var information = H5G_info_t()
        guard HDF5Library.call({ H5Gget_info(group, &information) }) >= 0 else {
            throw place.failure("cannot be listed")
        }
        var names: [String] = []
        for index in 0..<information.nlinks {
            names.append(try name(at: index))
        }
        return names
    }

    package func group(_ name: String) throws(Failure) -> HDF5Group {
        try checkHardLink(name)
        return try HDF5Group(
            in: identifier.value, name: name, place: place.child(name), backing: backing)
    }

    package func dataset(_ name: String) throws(Failure) -> HDF5Dataset {
        try checkHardLink(name)
        return try HDF5Dataset(
            in: identifier.value, name: name, place: place.child(name), backing: backing)
    }

    /// Makes a group inside this one.
    func makeGroup(_ name: String) throws(Failure) -> HDF5Group {
        try HDF5Group(new: name, in: identifier.value, place: place.child(name))
    }

    /// What is not in the file itself is not read: a link could name any file of this machine.
    private func checkHardLink(_ name: String) throws(Failure) {
        let group = identifier.value
        var information = H5L_info_t()
        let status = HDF5Library.call {
            H5Lget_info(group, name, &information, causalgen_h5p_default())
        }
        guard status >= 0 else { throw place.child(name).failure("is missing") }
        guard information.type == H5L_TYPE_HARD else {
            throw place.child(name).failure("is a link, which this program does not follow")
        }
    }

    private func name(at index: hsize_t) throws(Failure) -> String {
        let group = identifier.value
        var buffer = [CChar](repeating: 0, count: 1024)
        let count = HDF5Library.call {
            H5Lget_name_by_idx(
                group, ".", H5_INDEX_NAME, H5_ITER_INC, index, &buffer, buffer.count,
                causalgen_h5p_default())
        }
        guard count > 0, count < buffer.count else {
            throw place.failure("holds a name that cannot be read")
        }
        return String(decoding: buffer[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}
