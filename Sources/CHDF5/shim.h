// What Swift cannot import of HDF5: ids behind macros with calls or casts in them, and the callbacks
// of a file image. One inline function each.
#pragma once
#include <hdf5.h>

static inline hid_t causalgen_h5t_ieee_f32le(void) { return H5T_IEEE_F32LE; }
static inline hid_t causalgen_h5t_ieee_f64le(void) { return H5T_IEEE_F64LE; }
static inline hid_t causalgen_h5t_std_i64le(void) { return H5T_STD_I64LE; }
static inline hid_t causalgen_h5t_std_u64le(void) { return H5T_STD_U64LE; }
static inline hid_t causalgen_h5t_native_float(void) { return H5T_NATIVE_FLOAT; }
static inline hid_t causalgen_h5t_native_double(void) { return H5T_NATIVE_DOUBLE; }
static inline hid_t causalgen_h5t_native_int64(void) { return H5T_NATIVE_INT64; }
static inline hid_t causalgen_h5t_native_uint64(void) { return H5T_NATIVE_UINT64; }
static inline hid_t causalgen_h5t_c_s1(void) { return H5T_C_S1; }
static inline hid_t causalgen_h5p_file_access(void) { return H5P_FILE_ACCESS; }
static inline hid_t causalgen_h5p_file_create(void) { return H5P_FILE_CREATE; }
static inline hid_t causalgen_h5p_dataset_create(void) { return H5P_DATASET_CREATE; }
static inline hid_t causalgen_h5p_group_create(void) { return H5P_GROUP_CREATE; }
static inline hid_t causalgen_h5p_default(void) { return H5P_DEFAULT; }
static inline hid_t causalgen_h5s_all(void) { return H5S_ALL; }
static inline unsigned causalgen_h5f_create_new(void) { return H5F_ACC_EXCL; }
static inline unsigned causalgen_h5f_read_only(void) { return H5F_ACC_RDONLY; }

// Switches off the printing of errors, which is a setting of each thread.
static inline herr_t causalgen_h5e_silence(void) { return H5Eset_auto2(H5E_DEFAULT, NULL, NULL); }

// The four callbacks make libhdf5 read a caller's bytes where they lie instead of a copy of them.
// The caller keeps the bytes until the file is closed; they are never written to.
static void *causalgen_image_malloc(size_t size, H5FD_file_image_op_t operation, void *bytes) {
    (void)size;
    (void)operation;
    return bytes;
}

static void *causalgen_image_memcpy(void *to, const void *from, size_t size,
                                    H5FD_file_image_op_t operation, void *bytes) {
    (void)size;
    (void)operation;
    (void)bytes;
    return to == from ? to : NULL;
}

static herr_t causalgen_image_free(void *image, H5FD_file_image_op_t operation, void *bytes) {
    (void)image;
    (void)operation;
    (void)bytes;
    return 0;
}

static void *causalgen_image_bytes_copy(void *bytes) { return bytes; }

static herr_t causalgen_image_bytes_free(void *bytes) {
    (void)bytes;
    return 0;
}

// Lets a file access property list with the core driver open `bytes` read-only, without a copy.
static inline herr_t causalgen_h5p_set_borrowed_image(hid_t list, const void *bytes, size_t size) {
    H5FD_file_image_callbacks_t callbacks = {
        causalgen_image_malloc, causalgen_image_memcpy, NULL, causalgen_image_free,
        causalgen_image_bytes_copy, causalgen_image_bytes_free, (void *)bytes};
    if (H5Pset_file_image_callbacks(list, &callbacks) < 0) return -1;
    return H5Pset_file_image(list, (void *)bytes, size);
}
