#pragma once
// The arithmetic of tensor cores, as measured on real ones (Fasi et al. 2021; Khattak & Mikaitis 2025). They compute
// the products of a block exactly and add them to the sum in one step. For that, they align all terms to the largest
// exponent, drop the bits below the last bit of their adder, and truncate the total to a float. Nothing is rounded to
// nearest.
namespace simt {

// d += a b for one mma.sync.m16n8k16 of bf16. Compute capability 8.0 adds blocks of 8 products, and its adder has one
// bit more than a float. 9.0 and later add blocks of 16 products, with two bits more than a float.
void tensor_core_multiply(float (&d)[16][8], const float (&a)[16][16], const float (&b)[16][8]);

}  // namespace simt
